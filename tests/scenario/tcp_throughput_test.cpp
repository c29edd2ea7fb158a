// How fast streams are over wires of known kinds, in virtual time: exact for a seed, so the bounds
// are tight enough to show a recovery that has become slow.

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/scenario/pair.h"

namespace ringway::scenario {
namespace {

using base::Duration;

struct Wire {
  const char* name;
  std::int64_t rate_bits;
  std::int64_t delay_ms;  ///< one way
  std::int64_t queue_bytes;
  std::uint32_t loss_ppm;
  double least;  ///< of the rate
};

/// Megabits of payload per second of virtual time.
double goodput(const Wire& wire, tcp::Congestion congestion, std::uint64_t bytes) {
  PairOptions o;
  o.frames = 8192;
  for (sim::HostOptions* host : {&o.a, &o.b}) {
    host->faults.rate_bits = wire.rate_bits;
    host->faults.queue_bytes = wire.queue_bytes;
    host->faults.delay = Duration::milliseconds(wire.delay_ms);
    host->faults.loss_ppm = wire.loss_ppm;
    host->faults.seed = 42;
  }
  Pair pair(o);
  StreamPlan a;
  a.send_bytes = bytes;
  a.max_write = 65'536;
  StreamPlan b;
  b.seed = 2;
  b.max_read = 65'536;
  tcp::Options options;
  options.receive_buffer_bytes = options.send_buffer_bytes = 4 * 1024 * 1024;
  options.congestion = congestion;
  pair.open(a, b, options);
  pair.listen(options);
  const base::Instant start = pair.world().now();
  base::Instant end = start;
  const auto done = [&] {
    if (pair.server(0).received() == bytes && end == start) end = pair.world().now();
    return end != start;
  };
  EXPECT_EQ(pair.world().run(start + Duration::seconds(600), done), sim::World::End::kDone);
  pair.run(Duration::seconds(600));
  pair.check(wire.name, false);
  return static_cast<double>(bytes) * 8e3 / static_cast<double>((end - start).ns);
}

class Throughput : public testing::TestWithParam<Wire> {};

TEST_P(Throughput, Cubic_FillsItsShare) {
  const Wire& wire = GetParam();
  const double rate = static_cast<double>(wire.rate_bits) / 1e6;
  const double got = goodput(wire, tcp::Congestion::kCubic, 8'000'000);
  RecordProperty("mbit", std::to_string(got));
  EXPECT_GE(got, wire.least * rate) << wire.name << " of " << rate << " Mbit/s";
}

INSTANTIATE_TEST_SUITE_P(Wires, Throughput,
                         testing::Values(Wire{"lan", 100'000'000, 0, 200'000, 0, 0.9},
                                         Wire{"dsl", 10'000'000, 15, 60'000, 0, 0.9},
                                         Wire{"wan", 50'000'000, 40, 500'000, 0, 0.4},
                                         Wire{"shallow_queue", 20'000'000, 20, 20'000, 0, 0.7},
                                         Wire{"lossy_lan", 100'000'000, 1, 200'000, 1'000, 0.7},
                                         Wire{"lossy_wan", 20'000'000, 20, 200'000, 10'000, 0.15}),
                         [](const auto& wire) { return std::string(wire.param.name); });

}  // namespace
}  // namespace ringway::scenario
