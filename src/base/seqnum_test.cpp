#include "base/seqnum.h"

#include <gtest/gtest.h>

namespace ringway::base {
namespace {

TEST(SeqNum, Comparison_HoldsAcrossTheWrap) {
  const SeqNum before{0xfffffff0U};
  const SeqNum after = before + 0x20;
  EXPECT_EQ(after.value, 0x10U);
  EXPECT_TRUE(before < after);
  EXPECT_TRUE(after > before);
  EXPECT_EQ(after - before, 0x20);
  EXPECT_EQ(before - after, -0x20);
  EXPECT_EQ(max(before, after), after);
  EXPECT_EQ(min(before, after), before);
}

}  // namespace
}  // namespace ringway::base
