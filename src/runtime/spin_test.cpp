#include "runtime/spin.h"

#include <gtest/gtest.h>

namespace ringway::runtime {
namespace {

constexpr base::Duration us(std::int64_t n) { return base::Duration::microseconds(n); }

TEST(SpinTest, Fresh_SpinsTheUsualTime) { EXPECT_EQ(Spin(us(50)).budget(), us(50)); }

TEST(SpinTest, SleptForLittleMore_SpinsThatLongTheNextTime) {
  Spin spin(us(50));
  spin.slept(us(180));
  EXPECT_EQ(spin.budget(), us(180));
  spin.came_while_spinning();
  EXPECT_EQ(spin.budget(), us(180));
}

TEST(SpinTest, NeverMoreThanTheLongest) {
  Spin spin(us(50));
  spin.slept(us(400));
  spin.slept(us(401));
  EXPECT_LE(spin.budget(), us(300));
}

TEST(SpinTest, LongWaits_SoonSpinForMicrosecondsOnly) {
  Spin spin(us(50));
  spin.slept(us(400));
  for (int i = 0; i < 20; ++i) spin.slept(us(1'000'000));
  EXPECT_EQ(spin.budget(), Spin::kShortest);
}

TEST(SpinTest, TrafficAgain_UsualTimeAtOnce) {
  Spin spin(us(50));
  for (int i = 0; i < 20; ++i) spin.slept(us(1'000'000));
  spin.came_while_spinning();
  EXPECT_EQ(spin.budget(), us(50));
}

TEST(SpinTest, TurnedOff_StaysOff) {
  Spin spin(us(0));
  spin.slept(us(1));
  spin.came_while_spinning();
  EXPECT_EQ(spin.budget(), us(0));
}

}  // namespace
}  // namespace ringway::runtime
