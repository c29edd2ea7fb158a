#include "wire/icmp.h"

#include <gtest/gtest.h>

#include "wire/nd.h"
#include "wire/test_bytes.h"

namespace ringway::wire {
namespace {

base::IpAddress ip(const char* text) { return *base::parse_ip(text); }
base::MacAddress mac(const char* text) { return *base::parse_mac(text); }

template <typename Message>
std::vector<std::byte> emitted(const Message& m) {
  std::vector<std::byte> bytes(m.size());
  m.emit(bytes.data());
  return bytes;
}

TEST(Icmp, EchoRequest_ParsesAndEmitsTheSame) {
  auto bytes = hex("08 00 0000 1234 0007 61626364");
  const auto h = IcmpHeader::parse(bytes);
  ASSERT_TRUE(h);
  EXPECT_EQ(h->type, 8);
  EXPECT_EQ(h->echo_id(), 0x1234);
  EXPECT_EQ(h->echo_seq(), 7);
  EXPECT_EQ(IcmpHeader::echo_rest(0x1234, 7), h->rest);
  std::vector<std::byte> out(8);
  h->emit(out.data());
  EXPECT_EQ(out, hex("08 00 0000 1234 0007"));
  finish_icmp(bytes);
  EXPECT_EQ(internet_checksum(bytes), 0);
  EXPECT_FALSE(IcmpHeader::parse(std::span(bytes).first(7)));
}

TEST(Icmp, FinishIcmpv6_CountsThePseudoHeader) {
  auto bytes = hex("80 00 dead 1234 0007");
  finish_icmpv6(bytes, ip("fe80::1"), ip("ff02::1"));
  auto sum = pseudo_header(ip("fe80::1"), ip("ff02::1"), 58, 8);
  sum.add(bytes);
  EXPECT_TRUE(sum.verifies());
}

TEST(QuotedPacket, TcpOverIpv4_GivesTupleAndSequence) {
  const auto q = QuotedPacket::parse(
      hex("4500 05dc 0001 4000 4006 0000 0a000001 0a000002 c001 0050 01020304"));
  ASSERT_TRUE(q);
  EXPECT_EQ(q->src, ip("10.0.0.1"));
  EXPECT_EQ(q->dst, ip("10.0.0.2"));
  EXPECT_EQ(q->protocol, Protocol::kTcp);
  EXPECT_EQ(q->src_port, 0xc001);
  EXPECT_EQ(q->dst_port, 80);
  EXPECT_EQ(q->tcp_seq, 0x01020304U);
  EXPECT_EQ(q->total_length, 1500);
}

TEST(QuotedPacket, UdpOverIpv6BehindOptions_GivesTuple) {
  const auto q = QuotedPacket::parse(
      hex("60000000 0100 3c 40 fd000000000000000000000000000001 fd000000000000000000000000000002"
          "11 00 0104 00000000 0035 c001 00f8 0000"));
  ASSERT_TRUE(q);
  EXPECT_EQ(q->protocol, Protocol::kUdp);
  EXPECT_EQ(q->src_port, 53);
  EXPECT_EQ(q->dst_port, 0xc001);
  EXPECT_EQ(q->total_length, 0x100 + 40);
}

TEST(QuotedPacket, FirstIpv6Fragment_GivesTuple_LaterOneDoesNot) {
  const std::string head =
      "60000000 0100 2c 40 fd000000000000000000000000000001 fd000000000000000000000000000002";
  EXPECT_TRUE(QuotedPacket::parse(hex(head + "11 00 0001 00000007 0035 c001 00f8 0000")));
  EXPECT_FALSE(QuotedPacket::parse(hex(head + "11 00 0009 00000007 0035 c001 00f8 0000")));
}

TEST(QuotedPacket, EchoRequest_GivesItsIdAsPort) {
  const auto q = QuotedPacket::parse(
      hex("4500 001c 0001 0000 4001 0000 0a000001 0a000002 08 00 0000 1234 0007"));
  ASSERT_TRUE(q);
  EXPECT_EQ(q->src_port, 0x1234);
}

TEST(QuotedPacket, ShortOrLaterFragmentOrNoIp_DoesNotParse) {
  const auto whole = hex("4500 05dc 0001 4000 4006 0000 0a000001 0a000002 c001 0050 01020304");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(QuotedPacket::parse(std::span(whole).first(size))) << size;
  }
  auto later = whole;
  later[7] = std::byte{1};
  EXPECT_FALSE(QuotedPacket::parse(later));
  auto other = whole;
  other[0] = std::byte{0x55};
  EXPECT_FALSE(QuotedPacket::parse(other));
}

TEST(Nd, NeighborSolicitation_ParsesAndEmitsTheSame) {
  const auto bytes = hex("87 00 0000 00000000 fd000000000000000000000000000002 01 01 02005e100001");
  const auto ns = NeighborSolicitation::parse(bytes);
  ASSERT_TRUE(ns);
  EXPECT_EQ(ns->target, ip("fd00::2"));
  EXPECT_EQ(ns->source_mac, mac("02:00:5e:10:00:01"));
  EXPECT_EQ(emitted(*ns), bytes);
}

TEST(Nd, NeighborSolicitationForMulticast_DoesNotParse) {
  EXPECT_FALSE(
      NeighborSolicitation::parse(hex("87 00 0000 00000000 ff020000000000000000000000000002")));
}

TEST(Nd, MappedIpv4AddressAsTarget_DoesNotParse) {
  EXPECT_FALSE(
      NeighborSolicitation::parse(hex("87 00 0000 00000000 00000000000000000000ffff0a000001")));
  EXPECT_FALSE(
      NeighborAdvertisement::parse(hex("88 00 0000 00000000 00000000000000000000ffff0a000001")));
}

TEST(QuotedPacket, MappedIpv4AddressInIpv6_DoesNotParse) {
  EXPECT_FALSE(QuotedPacket::parse(
      hex("60000000 0008 11 40 00000000000000000000ffff0a000001 fd000000000000000000000000000002"
          "0035 c001 0008 0000")));
}

TEST(Nd, NeighborAdvertisement_ParsesAndEmitsTheSame) {
  const auto bytes = hex("88 00 0000 60000000 fd000000000000000000000000000002 02 01 02005e100002");
  const auto na = NeighborAdvertisement::parse(bytes);
  ASSERT_TRUE(na);
  EXPECT_FALSE(na->router);
  EXPECT_TRUE(na->solicited);
  EXPECT_TRUE(na->override_entry);
  EXPECT_EQ(na->target_mac, mac("02:00:5e:10:00:02"));
  EXPECT_EQ(emitted(*na), bytes);
}

TEST(Nd, RouterSolicitation_ParsesWithAndWithoutMac) {
  const auto bytes = hex("85 00 0000 00000000 01 01 02005e100001");
  const auto rs = RouterSolicitation::parse(bytes);
  ASSERT_TRUE(rs);
  EXPECT_TRUE(rs->source_mac);
  EXPECT_EQ(emitted(*rs), bytes);
  const auto bare = RouterSolicitation::parse(std::span(bytes).first(8));
  ASSERT_TRUE(bare);
  EXPECT_FALSE(bare->source_mac);
}

TEST(Nd, RouterAdvertisement_ParsesAndEmitsTheSame) {
  const auto bytes =
      hex("86 00 0000 40 c0 0708 00007530 000003e8 01 01 02005e100001 05 01 0000 000005dc"
          "03 04 40 c0 00015180 00003840 00000000 fd000000000000000000000000000000");
  const auto ra = RouterAdvertisement::parse(bytes);
  ASSERT_TRUE(ra);
  EXPECT_EQ(ra->hop_limit, 64);
  EXPECT_TRUE(ra->managed);
  EXPECT_TRUE(ra->other_config);
  EXPECT_EQ(ra->router_lifetime_seconds, 1800);
  EXPECT_EQ(ra->reachable_ms, 30'000U);
  EXPECT_EQ(ra->retransmit_ms, 1000U);
  EXPECT_EQ(ra->mtu, 1500U);
  ASSERT_EQ(ra->prefix_count, 1);
  EXPECT_EQ(ra->prefixes[0].prefix, (base::Prefix{ip("fd00::"), 64}));
  EXPECT_TRUE(ra->prefixes[0].on_link);
  EXPECT_TRUE(ra->prefixes[0].autonomous);
  EXPECT_EQ(ra->prefixes[0].valid_seconds, 86'400U);
  EXPECT_EQ(emitted(*ra), bytes);
}

TEST(Nd, OptionOfLengthZeroOrBeyondTheEnd_MakesTheMessageInvalid) {
  const std::string head = "87 00 0000 00000000 fd000000000000000000000000000002";
  EXPECT_TRUE(NeighborSolicitation::parse(hex(head + "63 01 000000000000")));
  EXPECT_FALSE(NeighborSolicitation::parse(hex(head + "63 00 000000000000")));
  EXPECT_FALSE(NeighborSolicitation::parse(hex(head + "63 02 000000000000")));
  EXPECT_FALSE(NeighborSolicitation::parse(hex(head + "63 01 0000")));
}

TEST(Nd, CodeNotZeroOrOtherType_DoesNotParse) {
  EXPECT_FALSE(
      NeighborSolicitation::parse(hex("87 01 0000 00000000 fd000000000000000000000000000002")));
  EXPECT_FALSE(
      NeighborSolicitation::parse(hex("88 00 0000 00000000 fd000000000000000000000000000002")));
}

TEST(Nd, SolicitedNode_TakesTheLastThreeBytes) {
  EXPECT_EQ(solicited_node(ip("fd00::12:3456")), ip("ff02::1:ff12:3456"));
}

}  // namespace
}  // namespace ringway::wire
