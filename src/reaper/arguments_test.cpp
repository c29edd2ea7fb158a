#include "reaper/arguments.h"

#include <gtest/gtest.h>

namespace ringway::reaper {
namespace {

base::Result<Arguments> parse(std::vector<const char*> arguments) {
  return parse_arguments(arguments);
}

TEST(ReaperArguments, AsRingwaydGivesThem_AreTaken) {
  const auto parsed =
      parse({"--stack", "3.1", "--table", "4", "--arena", "5", "--mailbox", "6", "--doorbell", "7",
             "--link", "12,1,8,9,10,11", "--link", "13,0,14,15,16,17"});
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->arena, 5);
  EXPECT_EQ(parsed->mailbox, 6);
  EXPECT_EQ(parsed->doorbell, 7);
  ASSERT_EQ(parsed->links.size(), 2U);
  EXPECT_EQ(parsed->links[0].number, 12U);
  EXPECT_EQ(parsed->links[0].side, 1U);
  EXPECT_EQ(parsed->links[0].memory, 8);
  EXPECT_EQ(parsed->links[1].life, 17);
}

TEST(ReaperArguments, IncompleteOrWrong_IsRefused) {
  EXPECT_FALSE(parse({}));
  EXPECT_FALSE(parse({"--arena"}));
  EXPECT_FALSE(parse({"--arena", "5", "--mailbox", "6"}));
  EXPECT_FALSE(parse({"--arena", "x", "--mailbox", "6", "--doorbell", "7"}));
  EXPECT_FALSE(parse({"--arena", "5", "--mailbox", "6", "--doorbell", "7", "--link", "1,2,3"}));
  EXPECT_FALSE(
      parse({"--arena", "5", "--mailbox", "6", "--doorbell", "7", "--link", "1,0,3,4,5,6,7"}));
  EXPECT_FALSE(parse({"--arena", "-5", "--mailbox", "6", "--doorbell", "7"}));
}

}  // namespace
}  // namespace ringway::reaper
