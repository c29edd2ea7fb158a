#include "port/faults.h"

#include <gtest/gtest.h>

#include <vector>

namespace ringway::port {
namespace {

using base::Duration;
using base::Instant;

constexpr Instant at_ms(std::int64_t ms) { return Instant{} + Duration::milliseconds(ms); }

TEST(FaultModel, Default_DeliversAtOnceAndInOrder) {
  FaultModel model({});
  for (int i = 0; i < 100; ++i) {
    const Fate fate = model.decide(at_ms(i), 1500);
    ASSERT_EQ(fate.copies, 1U);
    EXPECT_EQ(fate.at[0], at_ms(i));
    EXPECT_EQ(fate.corrupt_bit, -1);
  }
}

TEST(FaultModel, SameSeed_SameFates) {
  FaultOptions options;
  options.loss_ppm = options.duplicate_ppm = options.reorder_ppm = options.corrupt_ppm = 200'000;
  options.jitter = Duration::milliseconds(3);
  FaultModel one(options);
  FaultModel two(options);
  options.seed = 2;
  FaultModel other(options);
  int differences = 0;
  for (int i = 0; i < 1000; ++i) {
    const Fate a = one.decide(at_ms(i), 100);
    const Fate b = two.decide(at_ms(i), 100);
    ASSERT_EQ(a.copies, b.copies);
    ASSERT_EQ(a.at, b.at);
    ASSERT_EQ(a.corrupt_bit, b.corrupt_bit);
    differences += a.copies != other.decide(at_ms(i), 100).copies ? 1 : 0;
  }
  EXPECT_GT(differences, 0);
}

TEST(FaultModel, Chances_AreMetOnAverage) {
  FaultOptions options;
  options.loss_ppm = 100'000;
  options.duplicate_ppm = 50'000;
  FaultModel model(options);
  std::uint64_t copies = 0;
  for (int i = 0; i < 10'000; ++i) copies += model.decide(at_ms(i), 100).copies;
  const auto& counters = model.counters();
  // 1000 and 450 expected; five standard deviations either way.
  EXPECT_NEAR(static_cast<double>(counters.get(FaultCounter::kLost)), 1000, 150);
  EXPECT_NEAR(static_cast<double>(counters.get(FaultCounter::kDuplicated)), 450, 110);
  EXPECT_EQ(copies, counters.get(FaultCounter::kPassed) + counters.get(FaultCounter::kDuplicated));
  EXPECT_EQ(counters.get(FaultCounter::kPassed) + counters.get(FaultCounter::kLost), 10'000U);
}

TEST(FaultModel, Jitter_KeepsOrder) {
  FaultOptions options;
  options.delay = Duration::milliseconds(1);
  options.jitter = Duration::milliseconds(50);
  FaultModel model(options);
  Instant last{};
  for (int i = 0; i < 1000; ++i) {
    const Fate fate = model.decide(at_ms(i), 100);
    EXPECT_GE(fate.at[0], last);
    EXPECT_GE(fate.at[0], at_ms(i) + options.delay);
    last = fate.at[0];
  }
}

TEST(FaultModel, Reorder_LetsLaterFramesOvertake) {
  FaultOptions options;
  options.reorder_ppm = 100'000;
  options.reorder_by = Duration::milliseconds(5);
  FaultModel model(options);
  int overtaken = 0;
  Instant last{};
  for (int i = 0; i < 1000; ++i) {
    const Fate fate = model.decide(at_ms(i), 100);
    overtaken += fate.at[0] < last ? 1 : 0;
    last = fate.at[0];
  }
  EXPECT_GT(overtaken, 10);
  EXPECT_GT(model.counters().get(FaultCounter::kReordered), 10U);
}

TEST(FaultModel, Rate_SpacesFramesByTheirLength) {
  FaultOptions options;
  options.rate_bits = 8'000'000;  // one byte a microsecond
  FaultModel model(options);
  EXPECT_EQ(model.decide(Instant{}, 1000).at[0], at_ms(1));
  EXPECT_EQ(model.decide(Instant{}, 500).at[0], Instant{} + Duration::microseconds(1500));
  // The line was idle in between: nothing is saved up.
  EXPECT_EQ(model.decide(at_ms(10), 1000).at[0], at_ms(11));
}

TEST(FaultModel, RateQueueFull_Drops) {
  FaultOptions options;
  options.rate_bits = 8'000'000;
  options.queue_bytes = 2000;
  FaultModel model(options);
  std::uint32_t passed = 0;
  for (int i = 0; i < 10; ++i) passed += model.decide(Instant{}, 1000).copies;
  EXPECT_EQ(passed, 3U);
  EXPECT_EQ(model.counters().get(FaultCounter::kQueueFull), 7U);
  EXPECT_EQ(model.decide(at_ms(2), 1000).copies, 1U);
}

TEST(FaultModel, Corrupt_TurnsOverOneBitWithinTheFrame) {
  FaultOptions options;
  options.corrupt_ppm = 1'000'000;
  FaultModel model(options);
  for (int i = 0; i < 100; ++i) {
    std::vector<std::byte> frame(7);
    corrupt(frame, model.decide(Instant{}, 7));
    int ones = 0;
    for (const std::byte b : frame) ones += __builtin_popcount(static_cast<unsigned>(b));
    EXPECT_EQ(ones, 1);
  }
  EXPECT_EQ(model.decide(Instant{}, 0).corrupt_bit, -1);
}

TEST(FaultModel, Spec_SetsEveryOption) {
  const auto spec = Spec::parse(
      "loop:loss=0.1,dup=0.2,reorder=0.3,corrupt=0.4,delay=1ms,jitter=2ms,reorder_by=3ms,"
      "rate=4mbit,queue=5k,seed=6");
  const FaultOptions options = fault_options(SpecValues::read(*spec, kFaultOptions).value());
  EXPECT_EQ(options.loss_ppm, 100'000U);
  EXPECT_EQ(options.duplicate_ppm, 200'000U);
  EXPECT_EQ(options.reorder_ppm, 300'000U);
  EXPECT_EQ(options.corrupt_ppm, 400'000U);
  EXPECT_EQ(options.delay, Duration::milliseconds(1));
  EXPECT_EQ(options.jitter, Duration::milliseconds(2));
  EXPECT_EQ(options.reorder_by, Duration::milliseconds(3));
  EXPECT_EQ(options.rate_bits, 4'000'000);
  EXPECT_EQ(options.queue_bytes, 5120);
  EXPECT_EQ(options.seed, 6U);
}

}  // namespace
}  // namespace ringway::port
