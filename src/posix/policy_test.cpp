#include "posix/policy.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

namespace ringway::posix {
namespace {

base::Endpoint at(const char* address, std::uint16_t port) {
  return {*base::parse_ip(address), port};
}

Policy make(std::string_view only, std::string_view except) {
  auto policy = Policy::parse(only, except);
  EXPECT_TRUE(policy) << policy.error().what;
  return policy ? *policy : Policy();
}

TEST(PolicyTest, NoLists_TakeEverything) {
  const Policy policy = make("", "");
  EXPECT_TRUE(policy.takes(SOCK_STREAM, at("127.0.0.1", 80)));
  EXPECT_TRUE(policy.takes(SOCK_DGRAM, at("::1", 53)));
  EXPECT_TRUE(policy.may_take(SOCK_DGRAM));
}

TEST(PolicyTest, OnlyTcp_LeavesUdpAtOnce) {
  const Policy policy = make("tcp", "");
  EXPECT_TRUE(policy.takes(SOCK_STREAM, at("10.0.0.1", 1)));
  EXPECT_FALSE(policy.takes(SOCK_DGRAM, at("10.0.0.1", 1)));
  EXPECT_FALSE(policy.may_take(SOCK_DGRAM));
}

TEST(PolicyTest, OnlyPort_TakesThatPortOfBothProtocols) {
  const Policy policy = make(":6379", "");
  EXPECT_TRUE(policy.takes(SOCK_STREAM, at("127.0.0.1", 6379)));
  EXPECT_TRUE(policy.takes(SOCK_DGRAM, at("127.0.0.1", 6379)));
  EXPECT_FALSE(policy.takes(SOCK_STREAM, at("127.0.0.1", 80)));
}

TEST(PolicyTest, OnlyPort_LeavesBindToAnyPortOpen) {
  EXPECT_TRUE(make(":6379", "").takes(SOCK_STREAM, at("127.0.0.1", 0)));
}

TEST(PolicyTest, ItemOfPortAndProtocol_NeedsBoth) {
  const Policy policy = make("tcp:80", "");
  EXPECT_TRUE(policy.takes(SOCK_STREAM, at("127.0.0.1", 80)));
  EXPECT_FALSE(policy.takes(SOCK_DGRAM, at("127.0.0.1", 80)));
  EXPECT_FALSE(policy.takes(SOCK_STREAM, at("127.0.0.1", 81)));
}

TEST(PolicyTest, ItemsOfOneList_AreAlternatives) {
  const Policy policy = make("tcp:80, 10.0.0.0/8\tudp", "");
  EXPECT_TRUE(policy.takes(SOCK_STREAM, at("192.168.0.1", 80)));
  EXPECT_TRUE(policy.takes(SOCK_STREAM, at("10.1.2.3", 9)));
  EXPECT_TRUE(policy.takes(SOCK_DGRAM, at("192.168.0.1", 9)));
  EXPECT_FALSE(policy.takes(SOCK_STREAM, at("192.168.0.1", 9)));
}

TEST(PolicyTest, Except_IsStrongerThanOnly) {
  const Policy policy = make("10.0.0.0/8", "10.1.0.0/16,:22");
  EXPECT_TRUE(policy.takes(SOCK_STREAM, at("10.2.0.1", 80)));
  EXPECT_FALSE(policy.takes(SOCK_STREAM, at("10.1.0.1", 80)));
  EXPECT_FALSE(policy.takes(SOCK_STREAM, at("10.2.0.1", 22)));
}

TEST(PolicyTest, ExceptPort_DoesNotRefuseBindToAnyPort) {
  EXPECT_TRUE(make("", ":22").takes(SOCK_STREAM, at("127.0.0.1", 0)));
}

TEST(PolicyTest, OnlyPrefix_LeavesBindToAnyAddressOpen) {
  EXPECT_TRUE(make("fd00::/8", "").takes(SOCK_STREAM, at("::", 80)));
  EXPECT_FALSE(make("fd00::/8", "").takes(SOCK_STREAM, at("fe80::1", 80)));
}

TEST(PolicyTest, ExceptWholeProtocol_IsKnownBeforeAnyAddress) {
  EXPECT_FALSE(make("", "udp").may_take(SOCK_DGRAM));
  EXPECT_TRUE(make("", "udp:53").may_take(SOCK_DGRAM));
  EXPECT_TRUE(make("", "10.0.0.0/8").may_take(SOCK_DGRAM));
}

TEST(PolicyTest, NonsenseIsRefusedByName) {
  for (const char* wrong :
       {"icmp", ":", ":0", ":65536", ":80x", "tcp80", "tcp:", "10.0.0.0/33", "80"}) {
    const auto policy = Policy::parse(wrong, "");
    ASSERT_FALSE(policy) << wrong;
    EXPECT_NE(policy.error().what.find(wrong), std::string::npos) << policy.error().what;
  }
  EXPECT_FALSE(Policy::parse("", "tcp,what"));
}

}  // namespace
}  // namespace ringway::posix
