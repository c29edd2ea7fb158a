#include "wire/packet_view.h"

#include <gtest/gtest.h>

#include <set>

#include "base/bytes.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/tcp.h"
#include "wire/test_bytes.h"
#include "wire/udp.h"

namespace ringway::wire {
namespace {

constexpr std::string_view kEthernet4 = "02005e100002 02005e100001 0800";
constexpr std::string_view kEthernet6 = "02005e100002 02005e100001 86dd";

base::IpAddress ip(const char* text) { return *base::parse_ip(text); }

std::vector<std::byte> operator+(std::vector<std::byte> a, const std::vector<std::byte>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<std::byte> ipv4(Ipv4Header h, const std::vector<std::byte>& payload) {
  h.src = ip("10.0.0.1");
  h.dst = ip("10.0.0.2");
  h.total_length = static_cast<std::uint16_t>(20 + payload.size());
  std::vector<std::byte> bytes(20);
  h.emit(bytes.data());
  return hex(kEthernet4) + bytes + payload;
}

std::vector<std::byte> ipv6(Protocol first, const std::vector<std::byte>& payload) {
  Ipv6Header h;
  h.src = ip("fd00::1");
  h.dst = ip("fd00::2");
  h.next_header = first;
  h.payload_length = static_cast<std::uint16_t>(payload.size());
  std::vector<std::byte> bytes(40);
  h.emit(bytes.data());
  return hex(kEthernet6) + bytes + payload;
}

std::vector<std::byte> tcp_segment(std::string_view text =
                                       "c001 0050 00000001 00000002 50 18 "
                                       "2000 0000 0000 616263") {
  auto segment = hex(text);
  finish_tcp(segment, ip("10.0.0.1"), ip("10.0.0.2"));
  return segment;
}

Ipv4Header header(Protocol protocol) {
  Ipv4Header h;
  h.protocol = protocol;
  return h;
}

ParseDrop parse(std::span<const std::byte> frame, PacketView& view, ParseOptions options = {}) {
  return parse_frame(frame, options, view);
}
ParseDrop parse(std::span<const std::byte> frame) {
  PacketView view;
  return parse(frame, view);
}

TEST(PacketView, TcpOverIpv4WithPadding_GivesOffsetsWithoutThePadding) {
  Ipv4Header h = header(Protocol::kTcp);
  h.dont_fragment = true;
  h.ttl = 9;
  h.traffic_class = 0x2e;
  const auto frame = ipv4(h, tcp_segment()) + hex("0000 0000 00");
  PacketView view;
  ASSERT_EQ(parse(frame, view), ParseDrop::kNone);
  EXPECT_TRUE(view.is_v4());
  EXPECT_EQ(view.src, ip("10.0.0.1"));
  EXPECT_EQ(view.dst, ip("10.0.0.2"));
  EXPECT_EQ(view.protocol, Protocol::kTcp);
  EXPECT_EQ(view.src_port, 0xc001);
  EXPECT_EQ(view.dst_port, 80);
  EXPECT_EQ(view.l3_offset, 14);
  EXPECT_EQ(view.l4_offset, 34);
  EXPECT_EQ(view.payload_offset, 54);
  EXPECT_EQ(view.end, 57U);
  EXPECT_EQ(view.payload_length(), 3U);
  EXPECT_EQ(view.ttl, 9);
  EXPECT_EQ(view.traffic_class, 0x2e);
  EXPECT_TRUE(view.dont_fragment);
  EXPECT_TRUE(view.l4_checksum_ok);
}

TEST(PacketView, VlanTag_IsReportedAndSkipped) {
  auto frame = ipv4(header(Protocol::kTcp), tcp_segment());
  const auto tag = hex("8100 0064");
  frame.insert(frame.begin() + 12, tag.begin(), tag.end());
  PacketView view;
  ASSERT_EQ(parse(frame, view), ParseDrop::kNone);
  EXPECT_EQ(view.vlan_id, 100);
  EXPECT_EQ(view.l3_offset, 18);
  EXPECT_EQ(view.payload_length(), 3U);
  EXPECT_EQ(parse(std::span(frame).first(17)), ParseDrop::kVlanTruncated);
}

TEST(PacketView, Ipv4Options_AreSkipped) {
  auto frame = ipv4(header(Protocol::kTcp), hex("01010100") + tcp_segment());
  frame[14] = std::byte{0x46};
  base::store_be16(&frame[24], 0);
  base::store_be16(&frame[24], internet_checksum(std::span(frame).subspan(14, 24)));
  PacketView view;
  ASSERT_EQ(parse(frame, view), ParseDrop::kNone);
  EXPECT_EQ(view.l4_offset, 38);
  EXPECT_EQ(view.dst_port, 80);
}

TEST(PacketView, UdpOverIpv6_IsClippedToItsLength) {
  auto datagram = hex("0035 c001 000b 0000 616263");
  finish_udp(datagram, ip("fd00::1"), ip("fd00::2"));
  PacketView view;
  ASSERT_EQ(parse(ipv6(Protocol::kUdp, datagram + hex("ffff")), view), ParseDrop::kNone);
  EXPECT_EQ(view.src_port, 53);
  EXPECT_EQ(view.payload_length(), 3U);
  EXPECT_TRUE(view.dont_fragment);
  EXPECT_TRUE(view.l4_checksum_ok);
}

TEST(PacketView, ZeroUdpChecksum_PassesOverIpv4Only) {
  const auto datagram = hex("0035 c001 000b 0000 616263");
  EXPECT_EQ(parse(ipv4(header(Protocol::kUdp), datagram)), ParseDrop::kNone);
  EXPECT_EQ(parse(ipv6(Protocol::kUdp, datagram)), ParseDrop::kUdpChecksum);
}

TEST(PacketView, UdpLengthBelowEightOrBeyondThePacket_IsDropped) {
  EXPECT_EQ(parse(ipv4(header(Protocol::kUdp), hex("0035 c001 0007 0000"))), ParseDrop::kUdpHeader);
  EXPECT_EQ(parse(ipv4(header(Protocol::kUdp), hex("0035 c001 0009 0000"))), ParseDrop::kUdpHeader);
  EXPECT_EQ(parse(ipv4(header(Protocol::kUdp), hex("0035 c001 0009"))), ParseDrop::kUdpHeader);
}

TEST(PacketView, WrongChecksums_AreNamed_AndPassIfTrusted) {
  auto wrong_l4 = ipv4(header(Protocol::kTcp), tcp_segment());
  wrong_l4.back() ^= std::byte{1};
  EXPECT_EQ(parse(wrong_l4), ParseDrop::kTcpChecksum);
  auto wrong_l3 = ipv4(header(Protocol::kTcp), tcp_segment());
  wrong_l3[22] ^= std::byte{1};
  EXPECT_EQ(parse(wrong_l3), ParseDrop::kIpv4Checksum);
  PacketView view;
  EXPECT_EQ(parse(wrong_l4, view, {.checksums_trusted = true}), ParseDrop::kNone);
  EXPECT_TRUE(view.l4_checksum_ok);
  EXPECT_EQ(parse(wrong_l3, view, {.checksums_trusted = true}), ParseDrop::kNone);
}

TEST(PacketView, PacketInSeveralFrames_LeavesItsChecksumToTheCaller) {
  const auto frame = ipv4(header(Protocol::kTcp), tcp_segment());
  const auto first = std::span(frame).first(55);
  PacketView view;
  EXPECT_EQ(parse(first, view), ParseDrop::kIpv4Truncated);
  ASSERT_EQ(parse(first, view, {.packet_length = 57}), ParseDrop::kNone);
  EXPECT_FALSE(view.l4_checksum_ok);
  EXPECT_EQ(view.end, 57U);
  Checksum sum = view.l4_pseudo_header();
  sum.add(first.subspan(view.l4_offset));
  sum.add(std::span(frame).subspan(55));
  EXPECT_TRUE(sum.verifies());
}

TEST(PacketView, TcpDataOffsetOutOfBounds_IsDropped) {
  EXPECT_EQ(
      parse(ipv4(header(Protocol::kTcp), hex("c001 0050 00000001 00000002 40 18 2000 0000 0000"))),
      ParseDrop::kTcpHeader);
  EXPECT_EQ(
      parse(ipv4(header(Protocol::kTcp), hex("c001 0050 00000001 00000002 60 18 2000 0000 0000"))),
      ParseDrop::kTcpHeader);
  EXPECT_EQ(parse(ipv4(header(Protocol::kTcp), hex("c001 0050 00000001"))), ParseDrop::kTcpHeader);
}

TEST(PacketView, Ipv4Fragment_ShowsItsPlaceAndNoPorts) {
  Ipv4Header h = header(Protocol::kUdp);
  h.id = 77;
  h.more_fragments = true;
  h.fragment_offset = 1480;
  PacketView view;
  ASSERT_EQ(parse(ipv4(h, hex("0102030405060708")), view), ParseDrop::kNone);
  EXPECT_TRUE(view.is_fragment);
  EXPECT_TRUE(view.more_fragments);
  EXPECT_EQ(view.fragment_offset, 1480);
  EXPECT_EQ(view.fragment_id, 77U);
  EXPECT_EQ(view.src_port, 0);
  EXPECT_EQ(view.payload_length(), 8U);
}

TEST(PacketView, InnerFragmentNoMultipleOfEightOrBeyond64K_IsDropped) {
  Ipv4Header h = header(Protocol::kUdp);
  h.more_fragments = true;
  EXPECT_EQ(parse(ipv4(h, hex("01020304"))), ParseDrop::kIpv4Fragment);
  h.more_fragments = false;
  h.fragment_offset = 65528;
  EXPECT_EQ(parse(ipv4(h, hex("0102030405060708"))), ParseDrop::kIpv4Fragment);
  EXPECT_EQ(parse(ipv6(Protocol::kFragment, hex("11 00 0001 00000007 0102"))),
            ParseDrop::kIpv6Fragment);
}

TEST(PacketView, Ipv6Fragment_ShowsItsPlace) {
  PacketView view;
  ASSERT_EQ(parse(ipv6(Protocol::kFragment, hex("11 00 0010 00000007 0102")), view),
            ParseDrop::kNone);
  EXPECT_TRUE(view.is_fragment);
  EXPECT_FALSE(view.more_fragments);
  EXPECT_EQ(view.fragment_offset, 16);
  EXPECT_EQ(view.fragment_id, 7U);
  EXPECT_EQ(view.protocol, Protocol::kUdp);
  EXPECT_EQ(view.payload_length(), 2U);
}

TEST(PacketView, Icmp_IsVerifiedPerFamily) {
  auto echo = hex("08 00 0000 1234 0007");
  finish_icmp(echo);
  EXPECT_EQ(parse(ipv4(header(Protocol::kIcmp), echo)), ParseDrop::kNone);
  echo.back() ^= std::byte{1};
  EXPECT_EQ(parse(ipv4(header(Protocol::kIcmp), echo)), ParseDrop::kIcmpChecksum);
  EXPECT_EQ(parse(ipv4(header(Protocol::kIcmp), hex("0800"))), ParseDrop::kIcmpHeader);
  auto echo6 = hex("80 00 0000 1234 0007");
  finish_icmpv6(echo6, ip("fd00::1"), ip("fd00::2"));
  EXPECT_EQ(parse(ipv6(Protocol::kIcmpv6, echo6)), ParseDrop::kNone);
}

TEST(PacketView, Arp_IsHandedOnWhole) {
  const auto frame =
      hex("ffffffffffff 02005e100001 0806 0001 0800 06 04 0001 02005e100001 0a000001 000000000000 "
          "0a000002");
  PacketView view;
  ASSERT_EQ(parse(frame, view), ParseDrop::kNone);
  EXPECT_EQ(view.ether_type, EtherType::kArp);
  EXPECT_FALSE(view.is_ip());
  EXPECT_EQ(view.l3_offset, 14);
  EXPECT_EQ(view.l3_length(), 28U);
}

TEST(PacketView, OtherEtherTypesAndShortFrames_AreNamed) {
  EXPECT_EQ(parse(hex("02005e100002 02005e100001 88cc 00")), ParseDrop::kUnknownEtherType);
  EXPECT_EQ(parse(hex("02005e100002 02005e100001 08")), ParseDrop::kEthernetTruncated);
  EXPECT_EQ(parse(hex(kEthernet4)), ParseDrop::kIpv4Header);
  EXPECT_EQ(parse(hex(kEthernet6)), ParseDrop::kIpv6Header);
}

TEST(PacketView, Ipv6PayloadBeyondTheFrame_IsTruncated) {
  auto frame = ipv6(Protocol::kNoNextHeader, {});
  frame[19] = std::byte{1};
  EXPECT_EQ(parse(frame), ParseDrop::kIpv6Truncated);
}

TEST(PacketView, MappedAddressOnTheWire_IsDropped) {
  auto frame = ipv6(Protocol::kNoNextHeader, {});
  ASSERT_EQ(parse(frame), ParseDrop::kNone);
  const auto mapped = ip("10.0.0.9");
  std::memcpy(&frame[22], mapped.bytes.data(), 16);
  EXPECT_EQ(parse(frame), ParseDrop::kIpv6Header);
}

TEST(PacketView, BadExtensions_AreNamedWithTheirPointer) {
  PacketView view;
  EXPECT_EQ(parse(ipv6(Protocol::kRouting, hex("06 00 00 01 00000000")), view),
            ParseDrop::kIpv6Routing);
  EXPECT_EQ(view.problem_at, 42);
  EXPECT_EQ(parse(ipv6(Protocol::kDestinationOptions, hex("06 00 9e04 00000000"))),
            ParseDrop::kIpv6OptionReport);
  EXPECT_EQ(parse(ipv6(Protocol::kDestinationOptions, hex("06 01 9e04 00000000"))),
            ParseDrop::kIpv6Extension);
}

TEST(PacketView, EveryTruncationOfAPacket_IsDropped) {
  const auto frame = ipv4(header(Protocol::kTcp), tcp_segment());
  for (std::size_t size = 0; size < frame.size(); ++size) {
    ASSERT_NE(parse(std::span(frame).first(size)), ParseDrop::kNone) << size;
  }
}

TEST(PacketView, DropNames_AreAllThereAndDiffer) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < static_cast<std::size_t>(ParseDrop::kCount); ++i) {
    const auto text = name(static_cast<ParseDrop>(i));
    EXPECT_FALSE(text.empty());
    EXPECT_TRUE(names.insert(text).second) << text;
  }
}

}  // namespace
}  // namespace ringway::wire
