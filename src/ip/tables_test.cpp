#include <gtest/gtest.h>

#include "ip/interface.h"
#include "ip/path_mtu.h"
#include "ip/rate_limit.h"
#include "ip/route_table.h"
#include "ip/test_host.h"

namespace ringway::ip {
namespace {

base::Prefix prefix(std::string_view text) { return *base::parse_prefix(text); }

TEST(RouteTable, Lookup_TakesTheLongestPrefixThenTheLowestMetric) {
  RouteTable t{};
  t.add({prefix("0.0.0.0/0"), addr("10.0.0.254"), 0, 1});
  t.add({prefix("10.0.0.0/8"), {}, 5, 2});
  t.add({prefix("10.0.0.0/8"), {}, 1, 3});
  t.add({prefix("10.1.0.0/16"), addr("10.0.0.7"), 0, 1});
  EXPECT_EQ(t.lookup(addr("192.0.2.1"))->address, addr("10.0.0.254"));
  EXPECT_EQ(t.lookup(addr("10.1.2.3"))->address, addr("10.0.0.7"));
  const auto direct = t.lookup(addr("10.2.0.1"));
  EXPECT_EQ(direct->address, addr("10.2.0.1"));
  EXPECT_EQ(direct->interface, 3);
  EXPECT_FALSE(t.lookup(addr("fd00::1")));
}

TEST(RouteTable, SameRouteAgain_ReplacesIt) {
  RouteTable t{};
  t.add({prefix("0.0.0.0/0"), addr("10.0.0.254"), 0, 1});
  t.add({prefix("0.0.0.0/0"), addr("10.0.0.253"), 0, 1});
  EXPECT_EQ(t.count, 1U);
  EXPECT_EQ(t.lookup(addr("192.0.2.1"))->address, addr("10.0.0.253"));
}

TEST(RouteTable, Full_RefusesMore) {
  RouteTable t{};
  for (std::uint32_t i = 0; i < RouteTable::kMaxRoutes; ++i) {
    EXPECT_TRUE(t.add({{base::IpAddress::v4(i << 8), 24}, {}, 0, 1}));
  }
  EXPECT_FALSE(t.add({prefix("fd00::/64"), {}, 0, 1}));
  t.remove_interface(1);
  EXPECT_EQ(t.count, 0U);
}

TEST(RouteTable, Remove_TakesOnlyItsOwn) {
  RouteTable t{};
  t.add({prefix("10.0.0.0/8"), {}, 0, 1});
  t.add({prefix("10.0.0.0/8"), {}, 0, 2});
  EXPECT_TRUE(t.remove(prefix("10.0.0.0/8"), 1));
  EXPECT_FALSE(t.remove(prefix("10.0.0.0/8"), 1));
  EXPECT_EQ(t.lookup(addr("10.0.0.1"))->interface, 2);
}

TEST(Interface, SourceFor_PrefersScopeSubnetAndPrefix) {
  Interface i{};
  i.add_address(prefix("fe80::1/64"));
  i.add_address(prefix("fd00:1::1/64"));
  i.add_address(prefix("fd00:2::1/64"));
  i.add_address(prefix("192.0.2.1/24"));
  i.add_address(prefix("10.0.0.1/24"));
  const auto source = [&](const char* dst) { return *i.source_for(addr(dst), addr(dst)); };
  EXPECT_EQ(source("fe80::9"), addr("fe80::1"));
  EXPECT_EQ(source("fd00:2::9"), addr("fd00:2::1"));
  EXPECT_EQ(source("fd00:1::9"), addr("fd00:1::1"));
  EXPECT_EQ(source("10.0.0.9"), addr("10.0.0.1"));
  EXPECT_EQ(source("ff02::1"), addr("fe80::1"));
  EXPECT_EQ(source("192.0.2.1"), addr("192.0.2.1"));
  EXPECT_EQ(*i.source_for(addr("198.51.100.1"), addr("10.0.0.254")), addr("10.0.0.1"));
}

TEST(Interface, SourceFor_NothingOfTheFamily) {
  Interface i{};
  i.add_address(prefix("10.0.0.1/24"));
  EXPECT_EQ(i.source_for(addr("fd00::1"), addr("fd00::1")), nullptr);
}

TEST(Interface, Broadcast_FollowsThePrefix) {
  Interface i{};
  i.add_address(prefix("10.0.0.1/24"));
  i.add_address(prefix("192.0.2.2/31"));
  EXPECT_TRUE(i.is_broadcast(addr("10.0.0.255")));
  EXPECT_TRUE(i.is_broadcast(addr("255.255.255.255")));
  EXPECT_FALSE(i.is_broadcast(addr("10.0.0.127")));
  EXPECT_FALSE(i.is_broadcast(addr("192.0.2.3")));
}

TEST(Interface, SolicitedNodeGroup_IsListenedTo) {
  Interface i{};
  i.add_address(prefix("fd00::12:3456/64"));
  EXPECT_TRUE(i.listens_to_group(addr("ff02::1:ff12:3456")));
  EXPECT_FALSE(i.listens_to_group(addr("ff02::1:ff12:3457")));
  EXPECT_TRUE(i.listens_to_group(addr("ff02::1")));
  EXPECT_TRUE(i.listens_to_group(addr("224.0.0.1")));
}

TEST(Interface, AddressTable_IsBounded) {
  Interface i{};
  for (std::uint32_t k = 0; k < Interface::kMaxAddresses; ++k) {
    EXPECT_TRUE(i.add_address({base::IpAddress::v4(0x0a000001 + k), 24}));
  }
  EXPECT_FALSE(i.add_address(prefix("192.0.2.1/24")));
  EXPECT_TRUE(i.add_address(prefix("10.0.0.1/16")));  // there already
  EXPECT_EQ(i.addresses[0].length, 16);
}

TEST(RateLimit, Burst_ThenOnePerInterval) {
  RateLimit limit{};
  const auto ten = base::Duration::milliseconds(10);
  EXPECT_TRUE(limit.allow(at_ms(0), ten, 2));
  EXPECT_TRUE(limit.allow(at_ms(0), ten, 2));
  EXPECT_FALSE(limit.allow(at_ms(9), ten, 2));
  EXPECT_TRUE(limit.allow(at_ms(10), ten, 2));
  EXPECT_FALSE(limit.allow(at_ms(10), ten, 2));
}

TEST(PathMtu, FullSet_ReplacesTheOldest) {
  PathMtuCache cache{};
  for (std::uint32_t i = 0; i < 2000; ++i) {
    cache.learn(base::IpAddress::v4(i), 1000, 1500, 1500, at_ms(i));
  }
  EXPECT_EQ(cache.lookup(base::IpAddress::v4(1999), 1500, at_ms(2000)), 1000);
  EXPECT_EQ(cache.lookup(base::IpAddress::v4(5000), 1500, at_ms(2000)), 1500);
}

TEST(PathMtu, V6BelowTheMinimum_IsTheMinimum) {
  PathMtuCache cache{};
  EXPECT_TRUE(cache.learn(addr("fd00::1"), 600, 1500, 1500, at_ms(0)));
  EXPECT_EQ(cache.lookup(addr("fd00::1"), 1500, at_ms(0)), 1280);
}

}  // namespace
}  // namespace ringway::ip
