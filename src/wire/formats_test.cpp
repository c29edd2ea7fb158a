#include <gtest/gtest.h>

#include "wire/arp.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/test_bytes.h"
#include "wire/udp.h"

namespace ringway::wire {
namespace {

template <typename Format>
std::vector<std::byte> emitted(const Format& format, std::size_t size) {
  std::vector<std::byte> bytes(size, std::byte{0xee});
  format.emit(bytes.data());
  return bytes;
}

base::IpAddress ip(const char* text) { return *base::parse_ip(text); }

TEST(Ethernet, Header_ParsesAndEmitsTheSame) {
  const auto bytes = hex("02005e100001 02005e100002 0806");
  const auto h = EthernetHeader::parse(bytes);
  ASSERT_TRUE(h);
  EXPECT_EQ(h->dst, *base::parse_mac("02:00:5e:10:00:01"));
  EXPECT_EQ(h->src, *base::parse_mac("02:00:5e:10:00:02"));
  EXPECT_EQ(h->type, EtherType::kArp);
  EXPECT_EQ(emitted(*h, EthernetHeader::kSize), bytes);
  EXPECT_FALSE(EthernetHeader::parse(std::span(bytes).first(13)));
}

TEST(Ethernet, VlanTag_ParsesAndEmitsTheSame) {
  const auto bytes = hex("b123 86dd");
  const auto tag = VlanTag::parse(bytes);
  ASSERT_TRUE(tag);
  EXPECT_EQ(tag->priority, 5);
  EXPECT_TRUE(tag->drop_eligible);
  EXPECT_EQ(tag->id, 0x123);
  EXPECT_EQ(tag->type, EtherType::kIpv6);
  EXPECT_EQ(emitted(*tag, VlanTag::kSize), bytes);
  EXPECT_FALSE(VlanTag::parse(std::span(bytes).first(3)));
}

TEST(Ethernet, MulticastMac_FollowsTheGroup) {
  EXPECT_EQ(base::to_string(multicast_mac(ip("224.129.2.3"))), "01:00:5e:01:02:03");
  EXPECT_EQ(base::to_string(multicast_mac(ip("ff02::1:ff00:1234"))), "33:33:ff:00:12:34");
}

TEST(Arp, Request_ParsesAndEmitsTheSame) {
  const auto bytes = hex("0001 0800 06 04 0001 02005e100001 0a000001 000000000000 0a000002");
  const auto p = ArpPacket::parse(bytes);
  ASSERT_TRUE(p);
  EXPECT_EQ(p->operation, ArpOperation::kRequest);
  EXPECT_EQ(p->sender_ip, ip("10.0.0.1"));
  EXPECT_EQ(p->sender_mac, *base::parse_mac("02:00:5e:10:00:01"));
  EXPECT_EQ(p->target_ip, ip("10.0.0.2"));
  EXPECT_EQ(p->target_mac, base::MacAddress{});
  EXPECT_EQ(emitted(*p, ArpPacket::kSize), bytes);
}

TEST(Arp, OtherHardwareProtocolLengthOrOperation_DoesNotParse) {
  const auto good = hex("0001 0800 06 04 0002 02005e100001 0a000001 02005e100002 0a000002");
  ASSERT_TRUE(ArpPacket::parse(good));
  for (const std::size_t at : {1U, 3U, 4U, 5U, 7U}) {
    auto bad = good;
    bad[at] ^= std::byte{0x11};
    EXPECT_FALSE(ArpPacket::parse(bad)) << at;
  }
  EXPECT_FALSE(ArpPacket::parse(std::span(good).first(27)));
}

TEST(Ipv4, Header_ParsesAndEmitsTheSame) {
  const auto bytes = hex("4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7");
  const auto h = Ipv4Header::parse(bytes);
  ASSERT_TRUE(h);
  EXPECT_EQ(h->total_length, 0x73);
  EXPECT_TRUE(h->dont_fragment);
  EXPECT_FALSE(h->is_fragment());
  EXPECT_EQ(h->ttl, 64);
  EXPECT_EQ(h->protocol, Protocol::kUdp);
  EXPECT_EQ(h->src, ip("192.168.0.1"));
  EXPECT_EQ(h->dst, ip("192.168.0.199"));
  EXPECT_EQ(h->payload_length(), 0x73U - 20U);
  EXPECT_EQ(emitted(*h, Ipv4Header::kSize), bytes);
  EXPECT_TRUE(Ipv4Header::checksum_ok(bytes));
}

TEST(Ipv4, FragmentFields_CountInBytes) {
  Ipv4Header h;
  h.total_length = 28;
  h.id = 0xbeef;
  h.more_fragments = true;
  h.fragment_offset = 65528;
  const auto back = Ipv4Header::parse(emitted(h, Ipv4Header::kSize));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->id, 0xbeef);
  EXPECT_TRUE(back->more_fragments);
  EXPECT_FALSE(back->dont_fragment);
  EXPECT_EQ(back->fragment_offset, 65528);
  EXPECT_TRUE(back->is_fragment());
}

TEST(Ipv4, WrongVersionOrLengths_DoNotParse) {
  const auto good = hex("4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7");
  for (const auto& [at, value] : {std::pair{0, 0x65}, {0, 0x44}, {0, 0x46}, {3, 0x13}}) {
    auto bad = good;
    bad[static_cast<std::size_t>(at)] = static_cast<std::byte>(value);
    EXPECT_FALSE(Ipv4Header::parse(bad)) << at << " " << value;
  }
  EXPECT_FALSE(Ipv4Header::parse(std::span(good).first(19)));
}

TEST(Ipv4, WithoutChecksum_LeavesZero) {
  std::vector<std::byte> bytes(20, std::byte{0xee});
  Ipv4Header{}.emit_without_checksum(bytes.data());
  EXPECT_EQ(base::load_be16(&bytes[10]), 0);
}

TEST(Ipv6, Header_ParsesAndEmitsTheSame) {
  const auto bytes =
      hex("6ab12345 0008 11 40 fd000000000000000000000000000001 fd000000000000000000000000000002");
  const auto h = Ipv6Header::parse(bytes);
  ASSERT_TRUE(h);
  EXPECT_EQ(h->traffic_class, 0xab);
  EXPECT_EQ(h->flow_label, 0x12345U);
  EXPECT_EQ(h->payload_length, 8);
  EXPECT_EQ(h->next_header, Protocol::kUdp);
  EXPECT_EQ(h->hop_limit, 64);
  EXPECT_EQ(h->src, ip("fd00::1"));
  EXPECT_EQ(h->dst, ip("fd00::2"));
  EXPECT_EQ(emitted(*h, Ipv6Header::kSize), bytes);
  EXPECT_FALSE(Ipv6Header::parse(std::span(bytes).first(39)));
}

TEST(Ipv6, FragmentHeader_ParsesAndEmitsTheSame) {
  const auto bytes = hex("06 00 05a9 12345678");
  const auto h = Ipv6FragmentHeader::parse(bytes);
  ASSERT_TRUE(h);
  EXPECT_EQ(h->next_header, Protocol::kTcp);
  EXPECT_EQ(h->offset, 0x5a8);
  EXPECT_TRUE(h->more);
  EXPECT_EQ(h->id, 0x12345678U);
  EXPECT_EQ(emitted(*h, Ipv6FragmentHeader::kSize), bytes);
}

// An IPv6 packet with these extension headers; the header itself is of no concern to the walk.
Ipv6Walk walk(std::uint8_t first, const char* extensions) {
  std::vector<std::byte> packet(Ipv6Header::kSize);
  for (const auto b : hex(extensions)) packet.push_back(b);
  return walk_ipv6(packet, static_cast<Protocol>(first));
}

TEST(Ipv6Walk, HopByHopDestinationRouting_AreSteppedOver) {
  const auto w = walk(0,
                      "3c 00 0502 0000 0100"                   // hop-by-hop: router alert, PadN
                      "2b 01 010c 00000000 00000000 00000000"  // destination: PadN of 12
                      "06 00 04 00 00000000"                   // routing, none left
                      "dead");
  EXPECT_EQ(w.end, Ipv6WalkEnd::kUpperLayer);
  EXPECT_EQ(w.protocol, Protocol::kTcp);
  EXPECT_EQ(w.offset, 40U + 8U + 16U + 8U);
  EXPECT_FALSE(w.has_fragment);
}

TEST(Ipv6Walk, Fragment_StopsBehindIt) {
  const auto w = walk(44, "11 00 0009 00000007 01020304");
  EXPECT_EQ(w.end, Ipv6WalkEnd::kFragment);
  EXPECT_EQ(w.protocol, Protocol::kUdp);
  EXPECT_EQ(w.offset, 48U);
  EXPECT_EQ(w.fragment.offset, 8);
  EXPECT_TRUE(w.fragment.more);
  EXPECT_EQ(w.fragment.id, 7U);
  EXPECT_EQ(w.fragment_at, 40U);
  EXPECT_EQ(w.fragment_named_at, 6U);
}

TEST(Ipv6Walk, AtomicFragment_IsAWholePacket) {
  const auto w = walk(44, "11 00 0000 00000007 01020304");
  EXPECT_EQ(w.end, Ipv6WalkEnd::kUpperLayer);
  EXPECT_TRUE(w.has_fragment);
  EXPECT_EQ(w.protocol, Protocol::kUdp);
}

TEST(Ipv6Walk, UnknownOptions_DoWhatTheirTypeSays) {
  EXPECT_EQ(walk(60, "06 00 1e04 00000000").end, Ipv6WalkEnd::kUpperLayer);
  EXPECT_EQ(walk(60, "06 00 5e04 00000000").end, Ipv6WalkEnd::kBadOption);
  EXPECT_EQ(walk(60, "06 00 9e04 00000000").end, Ipv6WalkEnd::kBadOptionReport);
  const auto w = walk(60, "06 00 00de 03000000");
  EXPECT_EQ(w.end, Ipv6WalkEnd::kBadOptionReportUnicast);
  EXPECT_EQ(w.problem_at, 43U);
}

TEST(Ipv6Walk, RoutingWithSegmentsLeft_PointsAtItsType) {
  const auto w = walk(43, "06 00 00 01 00000000");
  EXPECT_EQ(w.end, Ipv6WalkEnd::kBadRouting);
  EXPECT_EQ(w.problem_at, 42U);
}

TEST(Ipv6Walk, HopByHopNotFirst_PointsAtWhatNamesIt) {
  const auto w = walk(60, "00 00 0104 00000000 06 00 0104 00000000");
  EXPECT_EQ(w.end, Ipv6WalkEnd::kMisplaced);
  EXPECT_EQ(w.problem_at, 40U);
}

TEST(Ipv6Walk, LengthsBeyondThePacket_AreTruncated) {
  EXPECT_EQ(walk(60, "06 00 0104").end, Ipv6WalkEnd::kTruncated);
  EXPECT_EQ(walk(60, "06 01 0104 00000000").end, Ipv6WalkEnd::kTruncated);
  EXPECT_EQ(walk(60, "06 00 0105 00000000").end, Ipv6WalkEnd::kTruncated);
  EXPECT_EQ(walk(60, "06 00 0103 00000001").end, Ipv6WalkEnd::kTruncated);
  EXPECT_EQ(walk(44, "06 00 0000 0000").end, Ipv6WalkEnd::kTruncated);
}

TEST(Ipv6Walk, MoreThanEightHeaders_AreTooMany) {
  std::string chain;
  for (int i = 0; i < 8; ++i) chain += "3c 00 0104 00000000";
  EXPECT_EQ(walk(60, (chain + "06 00 0104 00000000").c_str()).end, Ipv6WalkEnd::kTooMany);
  chain.replace(chain.size() - 19, 2, "06");
  EXPECT_EQ(walk(60, chain.c_str()).end, Ipv6WalkEnd::kUpperLayer);
}

TEST(Udp, Header_ParsesAndEmitsTheSame) {
  const auto bytes = hex("0035 c001 000c beef");
  const auto h = UdpHeader::parse(bytes);
  ASSERT_TRUE(h);
  EXPECT_EQ(h->src_port, 53);
  EXPECT_EQ(h->dst_port, 0xc001);
  EXPECT_EQ(h->length, 12);
  EXPECT_EQ(h->checksum, 0xbeef);
  EXPECT_EQ(emitted(*h, UdpHeader::kSize), bytes);
  EXPECT_FALSE(UdpHeader::parse(std::span(bytes).first(7)));
  EXPECT_FALSE(UdpHeader::parse(hex("0035 c001 0007 beef")));
}

TEST(Udp, FinishUdp_MakesTheSumVerify) {
  auto datagram = hex("0035 c001 000b 0000 616263");
  finish_udp(datagram, ip("fd00::1"), ip("fd00::2"));
  auto sum = pseudo_header(ip("fd00::1"), ip("fd00::2"), 17, 11);
  sum.add(datagram);
  EXPECT_TRUE(sum.verifies());
}

}  // namespace
}  // namespace ringway::wire
