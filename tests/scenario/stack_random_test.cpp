// Programs with whole stacks, from sockets to links, in virtual time: streams that pause, reset and
// close in any order, many short connections, datagrams in fragments, refusals; over wires that
// lose, double and reorder, and over links. Every choice comes from one seed.
// RINGWAY_SEED=n runs that one only; RINGWAY_SEEDS=n as many of each kind.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "tests/scenario/stack_net.h"

namespace ringway::scenario {
namespace {

using base::Duration;
using base::Random;

struct Kind {
  std::uint32_t hosts = 2;
  bool wires = true;
  bool resets = false;
};

port::FaultOptions random_faults(Random& random) {
  port::FaultOptions f;
  f.delay = Duration::microseconds(random.below(40'000));
  if (random.below(3) == 0) f.jitter = Duration::microseconds(random.below(5'000));
  if (random.below(3) != 0) f.loss_ppm = random.below(80'000);
  if (random.below(3) == 0) f.duplicate_ppm = random.below(100'000);
  if (random.below(3) == 0) f.reorder_ppm = random.below(200'000);
  f.reorder_by = Duration::microseconds(1 + random.below(40'000));
  if (random.below(3) == 0) {
    f.rate_bits = 2'000'000 + random.below(100'000'000);
    f.queue_bytes = 40'000 + random.below(200'000);
  }
  f.seed = random.next();
  return f;
}

EndPlan random_end(Random& random, std::uint32_t most) {
  EndPlan p;
  p.seed = random.next();
  p.send_bytes = random.below(6) == 0 ? 0 : random.below(most);
  p.max_write = 1 + random.below(random.below(2) == 0 ? 300 : 60'000);
  p.max_read = 1 + random.below(random.below(2) == 0 ? 3'000 : 60'000);
  if (random.below(2) == 0) p.pause_ppm = random.below(200'000);
  p.max_pause = Duration::microseconds(random.below(300'000));
  return p;
}

DuplexPlan random_stream(Random& random, const Kind& kind, bool is_short) {
  const std::uint32_t most = is_short ? 200 : random.below(4) == 0 ? 300'000 : 30'000;
  DuplexPlan p{random_end(random, most), random_end(random, most)};
  // Not more pieces than fit into the time.
  p.client.send_bytes =
      std::min(p.client.send_bytes, 2'000 * std::min(p.client.max_write, p.server.max_read));
  p.server.send_bytes =
      std::min(p.server.send_bytes, 2'000 * std::min(p.server.max_write, p.client.max_read));
  (random.below(2) == 0 ? p.client : p.server).fin_last = random.below(2) == 0;
  if (kind.resets) {
    if (random.below(3) == 0) p.client.reset_at = random.below(20'000);
    if (random.below(3) == 0) p.server.reset_at = random.below(20'000);
    if (random.below(4) == 0) p.client.early_close = true;
  } else if (p.server.send_bytes == 0 && random.below(2) == 0) {
    p.client.early_close = true;  // nothing is lost by it
  }
  return p;
}

tcp::Options random_options(Random& random, const Kind& kind) {
  tcp::Options o;
  o.no_delay = random.below(2) == 0;
  o.keepalive = kind.resets;  // a reset that is lost leaves a peer that waits for ever but for it
  o.keepalive_idle_s = static_cast<std::uint16_t>(1 + random.below(100));
  o.keepalive_interval_s = static_cast<std::uint16_t>(1 + random.below(10));
  if (random.below(2) == 0) o.receive_buffer_bytes = 2'048 + random.below(60'000);
  if (random.below(2) == 0) o.send_buffer_bytes = 2'048 + random.below(60'000);
  o.congestion = random.below(2) == 0 ? tcp::Congestion::kCubic : tcp::Congestion::kReno;
  return o;
}

void join_all(StackNet& net, Random& random, const Kind& kind) {
  for (std::uint32_t a = 0; a < kind.hosts; ++a) {
    for (std::uint32_t b = a + 1; b < kind.hosts; ++b) {
      if (kind.wires) {
        net.join_by_wire(a, b, {random_faults(random), random_faults(random)});
      } else {
        net.join_by_link(a, b);
      }
    }
  }
}

void populate(StackNet& net, Random& random, const Kind& kind) {
  for (std::uint32_t i = 0; i < kind.hosts; ++i) {
    net.serve(i, false, random_options(random, kind));
    net.serve(i, true, random_options(random, kind));
  }
  const std::uint32_t clients = 1 + random.below(4);
  for (std::uint32_t i = 0; i < clients; ++i) {
    const bool is_short = random.below(2) == 0;
    const std::uint32_t streams = is_short ? 1 + random.below(30) : 1 + random.below(2);
    std::uint32_t last = 0;
    for (std::uint32_t k = 0; k < streams; ++k)
      last = net.plan(random_stream(random, kind, is_short));
    const std::uint32_t from = random.below(kind.hosts);
    const std::uint32_t to = (from + 1 + random.below(kind.hosts - 1)) % kind.hosts;
    net.open(from, last + 1 - streams, last + 1,
             {&net.host(to), Server::kPort, random.below(3) == 0, random_options(random, kind)});
  }
  if (random.below(2) == 0) net.exchange(0, 1, random.below(60), random.next());
}

/// What went wrong with this seed; empty: nothing.
std::string run_seed(std::uint64_t seed, const Kind& kind, const char* capture) {
  Random random = Random::seeded(seed);
  StackNet net(kind.hosts);
  if (capture != nullptr) net.capture(capture);
  join_all(net, random, kind);
  populate(net, random, kind);
  net.run(Duration::seconds(3'000));
  return net.verdict(kind.resets);
}

std::uint64_t seeds() {
  const char* many = std::getenv("RINGWAY_SEEDS");
  return many != nullptr ? std::strtoull(many, nullptr, 10) : 40;
}

void check_seed(std::uint64_t seed, const Kind& kind) {
  const std::string wrong = run_seed(seed, kind, nullptr);
  if (wrong.empty()) return;
  const std::string file = "scenario-" + std::to_string(seed) + ".pcap";
  run_seed(seed, kind, file.c_str());
  ADD_FAILURE() << "RINGWAY_SEED=" << seed << ": " << wrong << "\n  wires in " << file;
}

void check_seeds(std::uint64_t first, const Kind& kind) {
  if (const char* only = std::getenv("RINGWAY_SEED")) {
    check_seed(std::strtoull(only, nullptr, 10), kind);
    return;
  }
  for (std::uint64_t seed = first; seed < first + seeds(); ++seed) {
    check_seed(seed, kind);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(StackRandom, TwoOverABadWire_EveryByteArrives) { check_seeds(1, {2, true, false}); }
TEST(StackRandom, TwoOverABadWireAndResets_NothingLeaks) { check_seeds(100'000, {2, true, true}); }
TEST(StackRandom, ThreeOverBadWires_EveryByteArrives) { check_seeds(200'000, {3, true, false}); }
TEST(StackRandom, ThreeOverLinks_EveryByteArrives) { check_seeds(300'000, {3, false, false}); }
TEST(StackRandom, ThreeOverLinksAndResets_NothingLeaks) { check_seeds(400'000, {3, false, true}); }

}  // namespace
}  // namespace ringway::scenario
