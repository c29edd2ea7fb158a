#include "bench/runner/stats.h"

#include <gtest/gtest.h>

#include "bench/runner/machine.h"

namespace ringway::bench {
namespace {

Run run_with(double value, double p99, double steal = 0) {
  Run run;
  run.values = {{"rate", value}, {"p99_us", p99}};
  run.steal_percent = steal;
  return run;
}

TEST(Median, OddAndEvenCounts) {
  EXPECT_EQ(median({}), std::nullopt);
  EXPECT_DOUBLE_EQ(*median({3, 1, 2}), 2);
  EXPECT_DOUBLE_EQ(*median({4, 1, 2, 3}), 2.5);
}

TEST(Improvement, LowerIsBetter_TurnsTheRatioAround) {
  EXPECT_DOUBLE_EQ(*improvement(8.0, 2.0, false), 4);
  EXPECT_DOUBLE_EQ(*improvement(8.0, 2.0, true), 0.25);
  EXPECT_EQ(improvement(std::nullopt, 2.0, true), std::nullopt);
  EXPECT_EQ(improvement(0.0, 2.0, true), std::nullopt);
}

TEST(Compare, MediansAndPairRatios_AreIndependent) {
  const std::vector<Pair> pairs{{run_with(10, 5), run_with(20, 1)},
                                {run_with(20, 5), run_with(100, 1)},
                                {run_with(40, 5), run_with(120, 1)}};
  const Comparison result = compare(pairs, "rate", true);
  EXPECT_DOUBLE_EQ(*result.ratio, 5);
  EXPECT_DOUBLE_EQ(*result.pair_ratio, 3);
  EXPECT_DOUBLE_EQ(*result.p99_ratio, 5);
  EXPECT_EQ(result.quiet_pairs, 3U);
}

TEST(Compare, StealOnOneSide_KeepsThePairOutOfP99Only) {
  const std::vector<Pair> pairs{{run_with(10, 5), run_with(20, 1)},
                                {run_with(10, 500), run_with(30, 9, 7)}};
  const Comparison result = compare(pairs, "rate", true);
  EXPECT_EQ(result.quiet_pairs, 1U);
  EXPECT_DOUBLE_EQ(*result.kernel.p99_us, 5);
  EXPECT_DOUBLE_EQ(*result.ringway.p99_us, 1);
  EXPECT_DOUBLE_EQ(*result.ringway.value, 25);
  EXPECT_DOUBLE_EQ(result.ringway.steal_percent, 7);
}

TEST(Compare, FailedRun_IsCountedAndLeftOut) {
  bench::Run failed;
  failed.failure = "no end after 3 s";
  const Comparison result =
      compare({{run_with(10, 5), failed}, {run_with(10, 5), run_with(30, 5)}}, "rate", true);
  EXPECT_EQ(result.ringway.failures, 1U);
  EXPECT_EQ(result.ringway.first_failure, "no end after 3 s");
  EXPECT_DOUBLE_EQ(*result.ratio, 3);
}

TEST(CpuTimes, LineOfProcStat_IsSplitIntoIdleAndSteal) {
  const CpuTimes before = parse_cpu_times("cpu  100 0 50 800 50 0 0 0 0 0");
  EXPECT_EQ(before.total, 1000U);
  EXPECT_EQ(before.idle, 850U);
  const CpuTimes after = parse_cpu_times("cpu  150 0 60 820 50 0 0 20 0 0");
  EXPECT_DOUBLE_EQ(steal_percent(before, after), 20);
  EXPECT_GT(busy_seconds(before, after), 0);
  EXPECT_EQ(parse_cpu_times("intr 5 6").total, 0U);
}

}  // namespace
}  // namespace ringway::bench
