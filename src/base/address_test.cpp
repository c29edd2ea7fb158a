#include "base/address.h"

#include <gtest/gtest.h>

namespace ringway::base {
namespace {

TEST(IpAddress, V4_RoundTripsThroughText) {
  const auto a = parse_ip("10.1.2.3");
  ASSERT_TRUE(a);
  EXPECT_TRUE(a->is_v4());
  EXPECT_EQ(a->to_v4(), 0x0a010203U);
  EXPECT_EQ(to_string(*a), "10.1.2.3");
}

TEST(IpAddress, V6_RoundTripsThroughText) {
  const auto a = parse_ip("fd00::12");
  ASSERT_TRUE(a);
  EXPECT_FALSE(a->is_v4());
  EXPECT_EQ(to_string(Endpoint{*a, 80}), "[fd00::12]:80");
}

TEST(IpAddress, Garbage_SaysWhatIsExpected) {
  const auto a = parse_ip("10.1.2");
  ASSERT_FALSE(a);
  EXPECT_EQ(a.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(a.error().what.find("expected"), std::string::npos);
}

TEST(Prefix, Contains_ComparesOnlyTheLeadingBits) {
  const auto p = parse_prefix("10.1.0.0/20");
  ASSERT_TRUE(p);
  EXPECT_TRUE(p->contains(*parse_ip("10.1.15.255")));
  EXPECT_FALSE(p->contains(*parse_ip("10.1.16.0")));
  EXPECT_FALSE(p->contains(*parse_ip("::")));
  EXPECT_FALSE(parse_prefix("10.0.0.0/33"));
  EXPECT_TRUE(parse_prefix("fd00::/8")->contains(*parse_ip("fdff::1")));
}

TEST(MacAddress, Text_RoundTripsAndIsChecked) {
  const auto m = parse_mac("02:00:5e:10:00:ff");
  ASSERT_TRUE(m);
  EXPECT_EQ(to_string(*m), "02:00:5e:10:00:ff");
  EXPECT_FALSE(parse_mac("02:00:5e:10:00"));
  EXPECT_FALSE(parse_mac("02:00:5e:10:00:xx"));
  EXPECT_FALSE(parse_mac("02-00-5e-10-00-01"));
}

}  // namespace
}  // namespace ringway::base
