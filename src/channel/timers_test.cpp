#include "channel/timers.h"

#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "base/random.h"

namespace ringway::channel {
namespace {

TEST(Timers, RandomCallsAndCancels_ComeOutInOrder) {
  base::Random random = base::Random::seeded(3);
  Timers timers(256);
  std::map<std::pair<std::int64_t, std::uint64_t>, Timers::Id> expected;
  for (std::uint64_t order = 0; order < 20'000; ++order) {
    const std::int64_t when = random.below(50);
    const Timers::Id id = timers.add({when}, order);
    if (id.slot != 0) expected[{when, order}] = id;
    if (!expected.empty() && random.below(3) == 0) {
      auto it = expected.begin();
      std::advance(it, random.below(static_cast<std::uint32_t>(expected.size())));
      ASSERT_TRUE(timers.cancel(it->second));
      ASSERT_FALSE(timers.cancel(it->second));
      expected.erase(it);
    }
    if (!expected.empty() && random.below(3) != 0) {
      ASSERT_EQ(timers.next().ns, expected.begin()->first.first);
      const Timers::Due due = timers.take();
      ASSERT_EQ(due.user_data, expected.begin()->first.second);
      ASSERT_FALSE(timers.cancel(due.id));
      expected.erase(expected.begin());
    }
  }
}

TEST(Timers, Full_RefusesUntilOneIsGone) {
  Timers timers(2);
  const auto first = timers.add({1}, 1);
  timers.add({2}, 2);
  EXPECT_EQ(timers.add({3}, 3).slot, 0U);
  EXPECT_TRUE(timers.cancel(first));
  EXPECT_NE(timers.add({3}, 3).slot, 0U);
  EXPECT_TRUE((timers.take(), timers.take(), timers.next().is_never()));
}

}  // namespace
}  // namespace ringway::channel
