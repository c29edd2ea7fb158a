// Two hosts, a wire that loses, doubles, reorders and corrupts, and applications that do as they
// like: every choice comes from one seed. RINGWAY_SEED=n runs that one only.

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/scenario/pair.h"

namespace ringway::scenario {
namespace {

using base::Duration;
using base::Random;

/// A network that is bad in a way of its own.
PairOptions random_network(Random& random) {
  PairOptions o;
  const auto faults = [&] {
    port::FaultOptions f;
    f.delay = Duration::microseconds(random.below(60'000));
    if (random.below(3) == 0) f.jitter = Duration::microseconds(random.below(5'000));
    if (random.below(3) != 0) f.loss_ppm = random.below(100'000);
    if (random.below(3) == 0) f.duplicate_ppm = random.below(100'000);
    if (random.below(3) == 0) f.reorder_ppm = random.below(200'000);
    f.reorder_by = Duration::microseconds(1 + random.below(40'000));
    if (random.below(4) == 0) f.corrupt_ppm = random.below(50'000);
    if (random.below(3) == 0) {
      f.rate_bits = 1'000'000 + random.below(100'000'000);
      f.queue_bytes = 20'000 + random.below(200'000);
    }
    f.seed = random.next();
    return f;
  };
  o.a.faults = faults();
  o.b.faults = faults();
  o.v6 = random.below(4) == 0;
  o.mtu = static_cast<std::uint16_t>(random.below(4) == 0 ? 600 + random.below(900) : 1500);
  o.tx_checksum = false;
  return o;
}

StreamPlan random_plan(Random& random, std::uint64_t most) {
  StreamPlan p;
  p.seed = random.next();
  p.send_bytes = random.below(8) == 0 ? 0 : random.below(static_cast<std::uint32_t>(most));
  p.max_write = 1 + random.below(random.below(2) == 0 ? 200 : 60'000);
  p.max_read = 1 + random.below(random.below(2) == 0 ? 3'000 : 60'000);
  if (random.below(2) == 0) p.pause_ppm = random.below(200'000);
  p.max_pause = Duration::microseconds(random.below(300'000));
  if (random.below(3) == 0) p.more_ppm = random.below(1'000'000);
  p.loans = random.below(3) == 0;
  p.early_close = random.below(2) == 0;
  return p;
}

/// `keepalive`: a reset that is lost leaves a peer that waits for ever but for keepalive.
tcp::Options random_options(Random& random, bool keepalive) {
  tcp::Options o;
  o.no_delay = random.below(2) == 0;
  o.keepalive = keepalive || random.below(4) == 0;
  o.keepalive_idle_s = static_cast<std::uint16_t>(1 + random.below(100));
  o.keepalive_interval_s = static_cast<std::uint16_t>(1 + random.below(10));
  if (random.below(2) == 0) o.receive_buffer_bytes = 2'048 + random.below(60'000);
  if (random.below(2) == 0) o.send_buffer_bytes = 2'048 + random.below(60'000);
  o.congestion = random.below(2) == 0 ? tcp::Congestion::kCubic : tcp::Congestion::kReno;
  return o;
}

void run(std::uint64_t seed, const PairOptions& network, Random& random, bool resets) {
  Pair pair(network);
  const std::uint32_t streams = 1 + random.below(3);
  for (std::uint32_t i = 0; i < streams; ++i) {
    const std::uint64_t most = random.below(4) == 0 ? 400'000 : 40'000;
    StreamPlan a = random_plan(random, most);
    StreamPlan b = random_plan(random, most);
    // Not more pieces than fit into the time.
    a.send_bytes = std::min<std::uint64_t>(a.send_bytes, 2'000 * std::min(a.max_write, b.max_read));
    b.send_bytes = std::min<std::uint64_t>(b.send_bytes, 2'000 * std::min(b.max_write, a.max_read));
    if (resets && random.below(2) == 0) a.abort_at = random.below(40'000);
    if (resets && random.below(2) == 0) b.abort_at = random.below(40'000);
    pair.open(a, b, random_options(random, resets));
  }
  pair.listen(random_options(random, resets));
  pair.run(Duration::seconds(3'000));
  pair.check("seed " + std::to_string(seed), resets);
}

std::uint64_t seeds() {
  const char* only = std::getenv("RINGWAY_SEEDS");
  return only != nullptr ? std::strtoull(only, nullptr, 10) : 250;
}

template <typename Run>
void for_seeds(std::uint64_t base, Run&& one) {
  if (const char* only = std::getenv("RINGWAY_SEED")) {
    one(std::strtoull(only, nullptr, 10));
    return;
  }
  for (std::uint64_t seed = base; seed < base + seeds(); ++seed) {
    one(seed);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(TcpRandom, BadNetwork_EveryByteArrives) {
  for_seeds(1, [](std::uint64_t seed) {
    Random random = Random::seeded(seed);
    const PairOptions network = random_network(random);
    run(seed, network, random, false);
  });
}

TEST(TcpRandom, BadNetworkAndResets_NothingLeaks) {
  for_seeds(100'000, [](std::uint64_t seed) {
    Random random = Random::seeded(seed);
    const PairOptions network = random_network(random);
    run(seed, network, random, true);
  });
}

PairOptions random_ring(Random& random) {
  PairOptions o;
  o.reliable = true;
  o.mtu = static_cast<std::uint16_t>(random.below(2) == 0 ? 1500 : 9000);
  o.max_frame = random.below(2) == 0 ? 1514 : 33'280;
  o.a.ring_slots = 1 + random.below(random.below(2) == 0 ? 4 : 200);
  o.b.ring_slots = 1 + random.below(random.below(2) == 0 ? 4 : 200);
  o.frames = 64 + random.below(400);
  o.rx_frames = 4 + random.below(200);
  o.slot_bytes = 36'864;
  o.a.faults.delay = o.b.faults.delay = Duration::microseconds(random.below(20));
  return o;
}

TEST(TcpRandom, TinyRings_EveryByteArrives) {
  for_seeds(200'000, [](std::uint64_t seed) {
    Random random = Random::seeded(seed);
    const PairOptions network = random_ring(random);
    run(seed, network, random, false);
  });
}

TEST(TcpRandom, TinyRingsAndResets_NothingLeaks) {
  for_seeds(300'000, [](std::uint64_t seed) {
    Random random = Random::seeded(seed);
    const PairOptions network = random_ring(random);
    run(seed, network, random, true);
  });
}

}  // namespace
}  // namespace ringway::scenario
