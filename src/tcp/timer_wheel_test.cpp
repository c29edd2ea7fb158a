#include "tcp/timer_wheel.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"
#include "tcp/zeroed.h"

namespace ringway::tcp {
namespace {

using base::Duration;
using base::Instant;

class TimerWheelTest : public testing::Test {
 protected:
  TimerWheelTest()
      : connections_(make_zeroed<ConnectionSlab>()), wheel_(make_zeroed<TimerWheel>()) {
    for (int i = 0; i < 300; ++i) {
      const std::uint32_t index = connections_->allocate();
      (*connections_)[index].armed_at = Instant::never();
    }
  }
  static Instant ms(std::int64_t n) { return {n * 1'000'000}; }
  void arm(std::uint32_t index, Instant at) { wheel_->arm(*connections_, index, at); }
  std::uint32_t expire(Instant now) { return wheel_->expire(*connections_, now); }

  Zeroed<ConnectionSlab> connections_;
  Zeroed<TimerWheel> wheel_;
};

TEST_F(TimerWheelTest, Empty_HasNoDeadline) {
  EXPECT_TRUE(wheel_->next_deadline().is_never());
  EXPECT_EQ(expire(ms(1'000'000)), 0U);
}

TEST_F(TimerWheelTest, ComesUpNotBeforeItsTime) {
  arm(1, Instant{5'500'000});
  EXPECT_EQ(wheel_->next_deadline(), ms(6));
  EXPECT_EQ(expire(Instant{5'999'999}), 0U);
  EXPECT_EQ(expire(ms(6)), 1U);
  EXPECT_EQ(wheel_->size(), 0U);
}

TEST_F(TimerWheelTest, LaterDeadline_LeavesTheNode_EarlierMovesIt) {
  arm(1, ms(100));
  arm(1, ms(200));
  EXPECT_LE(wheel_->next_deadline(), ms(100));  // a lower bound: the start of its slot
  arm(1, ms(50));
  EXPECT_EQ(wheel_->next_deadline(), ms(50));
  EXPECT_EQ(wheel_->size(), 1U);
}

TEST_F(TimerWheelTest, DeadlineInThePast_ComesUpAtOnce) {
  EXPECT_EQ(expire(ms(1000)), 0U);
  arm(1, ms(10));
  EXPECT_EQ(expire(ms(1000)), 1U);
}

TEST_F(TimerWheelTest, TurnOfTheHighestDigits_IsCrossed) {
  for (std::int64_t turn = 64; turn < INT64_MAX / 1'000'000 / 64; turn *= 64) {
    EXPECT_EQ(expire(ms(turn - 5)), 0U);
    arm(1, ms(turn + 100));
    EXPECT_EQ(expire(ms(turn - 1)), 0U) << turn;
    EXPECT_EQ(expire(ms(turn + 99)), 0U) << turn;
    EXPECT_EQ(expire(ms(turn + 100)), 1U) << turn;
  }
}

TEST_F(TimerWheelTest, FarthestTime_IsKept) {
  arm(1, Instant{INT64_MAX - 1});
  EXPECT_FALSE(wheel_->next_deadline().is_never());
  wheel_->disarm(*connections_, 1);
  EXPECT_TRUE(wheel_->next_deadline().is_never());
}

TEST_F(TimerWheelTest, RandomLoad_AgreesWithASortedMap) {
  base::Random random = base::Random::seeded(7);
  std::multimap<std::int64_t, std::uint32_t> expected;
  std::map<std::uint32_t, std::int64_t> armed;
  std::int64_t now = 0;
  for (int step = 0; step < 20'000; ++step) {
    const std::uint32_t index = 1 + random.below(300);
    const std::int64_t at = now + 1 + random.below(1U << random.below(26));
    if (random.below(4) == 0) {
      wheel_->disarm(*connections_, index);
      armed.erase(index);
    } else if (!armed.contains(index) || at < armed[index]) {
      arm(index, ms(at));
      armed[index] = at;
    }
    if (random.below(8) != 0) continue;
    now += random.below(1U << random.below(24));
    while (const std::uint32_t due = expire(ms(now))) {
      ASSERT_TRUE(armed.contains(due));
      ASSERT_LE(armed[due], now);
      armed.erase(due);
    }
    std::int64_t next = INT64_MAX;
    for (const auto& [i, t] : armed) {
      ASSERT_GT(t, now) << i;
      next = std::min(next, t);
    }
    ASSERT_EQ(wheel_->size(), armed.size());
    if (armed.empty()) continue;
    ASSERT_LE(wheel_->next_deadline(), ms(next));
    ASSERT_GT(wheel_->next_deadline(), ms(now));
  }
}

}  // namespace
}  // namespace ringway::tcp
