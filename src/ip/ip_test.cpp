#include "ip/ip.h"

#include <set>

#include "ip/test_host.h"
#include "wire/tcp.h"
#include "wire/udp.h"

namespace ringway::ip {
namespace {

using IpInput = IpHost;
using wire::Protocol;

Bytes udp(std::size_t payload = 4) {
  Bytes datagram = wire::hex("1234 0035") + Bytes(4) + Bytes(payload, std::byte{0x61});
  base::store_be16(&datagram[4], static_cast<std::uint16_t>(datagram.size()));
  return datagram;
}
Bytes udp6(std::string_view src, std::string_view dst) {
  Bytes datagram = udp();
  wire::finish_udp(datagram, addr(src), addr(dst));
  return datagram;
}

TEST_F(IpInput, UdpForUs_IsDelivered) {
  const auto v = receive(ipv4_frame("10.0.0.2", "10.0.0.1", Protocol::kUdp, udp()));
  EXPECT_EQ(v.action, Verdict::Action::kDeliver);
  EXPECT_EQ(v.frame.data(), received.data());
  EXPECT_TRUE(ip.is_plain(kEther, view));
  EXPECT_EQ(counted(Counter::kDelivered), 1U);
}

TEST_F(IpInput, ForOthers_IsDropped) {
  EXPECT_EQ(receive(ipv4_frame("10.0.0.2", "10.0.0.3", Protocol::kUdp, udp())).action,
            Verdict::Action::kDone);
  EXPECT_FALSE(ip.is_plain(kEther, view));
  EXPECT_EQ(counted(Counter::kDropNotForUs), 1U);
}

TEST_F(IpInput, MartianSources_AreDropped) {
  for (const char* src : {"127.0.0.1", "10.0.0.1", "10.0.0.255", "255.255.255.255", "224.0.0.1"}) {
    receive(ipv4_frame(src, "10.0.0.1", Protocol::kUdp, udp()));
    EXPECT_FALSE(ip.is_plain(kEther, view)) << src;
  }
  EXPECT_EQ(counted(Counter::kDropMartian), 5U);
}

TEST_F(IpInput, LoopbackOnTheLinks_IsDeliveredFromItsOwnAddress) {
  const auto v = receive(ipv4_frame("127.0.0.1", "127.0.0.9", Protocol::kUdp, udp()), kLinks);
  EXPECT_EQ(v.action, Verdict::Action::kDeliver);
}

TEST_F(IpInput, Broadcast_IsDeliveredForUdpOnly) {
  EXPECT_EQ(receive(ipv4_frame("10.0.0.2", "10.0.0.255", Protocol::kUdp, udp())).action,
            Verdict::Action::kDeliver);
  Bytes segment = wire::hex("1234 0050 00000001 00000000 5002 1000 0000 0000");
  wire::finish_tcp(segment, addr("10.0.0.2"), addr("10.0.0.255"));
  EXPECT_EQ(receive(ipv4_frame("10.0.0.2", "10.0.0.255", Protocol::kTcp, segment)).action,
            Verdict::Action::kDone);
}

TEST_F(IpInput, Multicast_IsDeliveredOnceJoined) {
  const auto frame = ipv4_frame("10.0.0.2", "224.1.2.3", Protocol::kUdp, udp());
  EXPECT_EQ(receive(frame).action, Verdict::Action::kDone);
  EXPECT_TRUE(state->interfaces[kEther].join(addr("224.1.2.3")));
  EXPECT_TRUE(state->interfaces[kEther].join(addr("224.1.2.3")));
  EXPECT_TRUE(state->interfaces[kEther].leave(addr("224.1.2.3")));
  EXPECT_EQ(receive(frame).action, Verdict::Action::kDeliver);
  EXPECT_TRUE(state->interfaces[kEther].leave(addr("224.1.2.3")));
  EXPECT_EQ(receive(frame).action, Verdict::Action::kDone);
}

TEST_F(IpInput, EchoRequest_IsAnswered) {
  receive(ipv4_frame("10.0.0.2", "10.0.0.1", Protocol::kIcmp, icmp("08 00 0000 1234 0007 6162")));
  const auto out = sent();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(Bytes(out[0].begin(), out[0].begin() + 14),
            wire::hex("020000000002 020000000001 0800"));
  wire::PacketView v;
  ASSERT_EQ(wire::parse_frame(out[0], {}, v), wire::ParseDrop::kNone);
  EXPECT_EQ(v.src, addr("10.0.0.1"));
  EXPECT_EQ(v.dst, addr("10.0.0.2"));
  EXPECT_EQ(Bytes(out[0].begin() + 34, out[0].end()), icmp("00 00 0000 1234 0007 6162"));
}

TEST_F(IpInput, EchoRequestV6_IsAnsweredAlsoToAllNodes) {
  for (const char* dst : {"fe80::1", "ff02::1"}) {
    receive(ipv6_frame("fe80::2", dst, Protocol::kIcmpv6,
                       icmpv6("80 00 0000 1234 0007 6162", "fe80::2", dst)));
    const auto out = sent();
    ASSERT_EQ(out.size(), 1U);
    wire::PacketView v;
    ASSERT_EQ(wire::parse_frame(out[0], {}, v), wire::ParseDrop::kNone);
    EXPECT_EQ(v.src, addr("fe80::1"));
    EXPECT_EQ(out[0][v.l4_offset], std::byte{129});
  }
}

TEST_F(IpInput, EchoRequestToBroadcast_IsNotAnswered) {
  receive(ipv4_frame("10.0.0.2", "10.0.0.255", Protocol::kIcmp, icmp("08 00 0000 1234 0007")));
  EXPECT_TRUE(sent().empty());
}

TEST_F(IpInput, EchoReply_IsDelivered) {
  EXPECT_EQ(
      receive(ipv4_frame("10.0.0.2", "10.0.0.1", Protocol::kIcmp, icmp("00 00 0000 1234 0007")))
          .action,
      Verdict::Action::kDeliver);
}

TEST_F(IpInput, LargeEcho_IsReassembledAndAnsweredInFragments) {
  Bytes message = wire::hex("08 00 0000 1234 0007") + Bytes(2992);
  for (std::size_t i = 8; i < message.size(); ++i) message[i] = static_cast<std::byte>(i);
  wire::finish_icmp(message);
  const auto piece = [&](std::size_t from, std::size_t to) {
    return ipv4_frame("10.0.0.2", "10.0.0.1", Protocol::kIcmp,
                      Bytes(message.begin() + static_cast<std::ptrdiff_t>(from),
                            message.begin() + static_cast<std::ptrdiff_t>(to)),
                      {9, static_cast<std::uint16_t>(from), to != message.size(), 64});
  };
  receive(piece(1480, 2960));
  receive(piece(2960, 3000));
  receive(piece(0, 1480));
  EXPECT_EQ(counted(Counter::kReassembled), 1U);
  const auto out = sent();
  ASSERT_EQ(out.size(), 3U);
  Bytes back(3000);
  for (const auto& frame : out) {
    wire::PacketView v;
    ASSERT_EQ(wire::parse_frame(frame, {}, v), wire::ParseDrop::kNone);
    EXPECT_FALSE(v.dont_fragment);
    EXPECT_LE(v.l3_length(), 1500U);
    std::copy(frame.begin() + v.l4_offset, frame.begin() + v.end, back.begin() + v.fragment_offset);
  }
  EXPECT_EQ(back[0], std::byte{0});
  EXPECT_EQ(wire::internet_checksum(back), 0);
  EXPECT_TRUE(std::equal(back.begin() + 4, back.end(), message.begin() + 4));
}

TEST_F(IpInput, PortUnreachable_QuotesThePacket) {
  receive(ipv4_frame("10.0.0.2", "10.0.0.1", Protocol::kUdp, udp()));
  ip.send_port_unreachable({kEther, received, view, batch}, now);
  const auto out = sent();
  ASSERT_EQ(out.size(), 1U);
  wire::PacketView v;
  ASSERT_EQ(wire::parse_frame(out[0], {}, v), wire::ParseDrop::kNone);
  EXPECT_EQ(Bytes(out[0].begin() + 34, out[0].begin() + 36), wire::hex("0303"));
  const auto quoted = wire::QuotedPacket::parse(std::span(out[0]).subspan(v.payload_offset));
  ASSERT_TRUE(quoted);
  EXPECT_EQ(quoted->src, addr("10.0.0.2"));
  EXPECT_EQ(quoted->dst_port, 53);
}

TEST_F(IpInput, PortUnreachableV6_HasItsOwnType) {
  receive(ipv6_frame("fd00::2", "fd00::1", Protocol::kUdp, udp6("fd00::2", "fd00::1")));
  ip.send_port_unreachable({kEther, received, view, batch}, now);
  const auto out = sent();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(Bytes(out[0].begin() + 54, out[0].begin() + 56), wire::hex("0104"));
}

TEST_F(IpInput, ErrorsForBroadcastsAndErrors_AreNotSent) {
  receive(ipv4_frame("10.0.0.2", "10.0.0.255", Protocol::kUdp, udp()));
  ip.send_port_unreachable({kEther, received, view, batch}, now);
  receive(ipv4_frame("10.0.0.2", "10.0.0.1", Protocol::kIcmp,
                     icmp("03 03 0000 00000000 45000020000100004011 0000 0a0000010a000002"
                          "12340035000c0000")));
  ip.send_protocol_unreachable({kEther, received, view, batch}, now);
  EXPECT_TRUE(sent().empty());
  EXPECT_EQ(counted(Counter::kErrorSuppressed), 2U);
}

TEST_F(IpInput, Errors_AreLimitedInRate) {
  receive(ipv4_frame("10.0.0.2", "10.0.0.1", Protocol::kUdp, udp()));
  for (int i = 0; i < 60; ++i) ip.send_port_unreachable({kEther, received, view, batch}, now);
  EXPECT_EQ(counted(Counter::kErrorSent), 50U);
  ip.send_port_unreachable({kEther, received, view, batch}, at_ms(10));
  ip.send_port_unreachable({kEther, received, view, batch}, at_ms(10));
  EXPECT_EQ(counted(Counter::kErrorSent), 51U);
}

TEST_F(IpInput, ErrorAboutOurPacket_IsHandedUp) {
  const auto v =
      receive(ipv4_frame("10.0.0.254", "10.0.0.1", Protocol::kIcmp,
                         icmp("03 04 0000 0000 0578 450005dc000140004006 0000 0a000001c0000207"
                              "c001005001020304")));
  ASSERT_EQ(v.action, Verdict::Action::kError);
  EXPECT_EQ(v.error.kind, IcmpError::Kind::kTooBig);
  EXPECT_EQ(v.error.mtu, 1400U);
  EXPECT_EQ(v.error.quoted.dst, addr("192.0.2.7"));
  EXPECT_EQ(v.error.quoted.src_port, 0xc001);
  EXPECT_EQ(v.error.quoted.tcp_seq, 0x01020304U);
}

TEST_F(IpInput, ErrorAboutAnothersPacket_IsDropped) {
  receive(ipv4_frame("10.0.0.254", "10.0.0.1", Protocol::kIcmp,
                     icmp("03 03 0000 00000000 45000020000100004011 0000 0a000009c0000207"
                          "12340035000c0000")));
  EXPECT_EQ(counted(Counter::kDropBadIcmp), 1U);
}

TEST_F(IpInput, LearnedMtu_LowersThePathUntilItExpires) {
  ip.add_route({{addr("0.0.0.0"), 0}, addr("10.0.0.254"), 0, kEther});
  IcmpError error;
  error.kind = IcmpError::Kind::kTooBig;
  error.mtu = 1400;
  error.quoted.dst = addr("192.0.2.7");
  port::Path path{};
  EXPECT_TRUE(ip.learn_mtu(error, now));
  ip.make_path(addr("192.0.2.7"), {}, now, outputs, path);
  EXPECT_EQ(path.mtu, 1400);
  EXPECT_FALSE(ip.learn_mtu(error, now));  // nothing new
  error.mtu = 68;
  EXPECT_TRUE(ip.learn_mtu(error, now));
  ip.make_path(addr("192.0.2.7"), {}, now, outputs, path);
  EXPECT_EQ(path.mtu, 552);
  ip.make_path(addr("192.0.2.8"), {}, now, outputs, path);
  EXPECT_EQ(path.mtu, 1500);
  ip.make_path(addr("192.0.2.7"), {}, now + PathMtuCache::kLifetime, outputs, path);
  EXPECT_EQ(path.mtu, 1500);
}

TEST_F(IpInput, MtuThatTheRouterDoesNotSay_IsTheNextPlateau) {
  IcmpError error;
  error.kind = IcmpError::Kind::kTooBig;
  error.quoted.dst = addr("10.0.0.2");
  error.quoted.total_length = 1500;
  EXPECT_TRUE(ip.learn_mtu(error, now));
  port::Path path{};
  ip.make_path(addr("10.0.0.2"), {}, now, outputs, path);
  EXPECT_EQ(path.mtu, 1492);
}

TEST_F(IpInput, UnknownOptionThatWantsAnAnswer_GetsAParameterProblem) {
  received = ipv6_frame("fd00::2", "fd00::1", Protocol::kDestinationOptions,
                        wire::hex("3b 00 9e04 00000000"));
  const auto drop = wire::parse_frame(received, {}, view);
  ASSERT_EQ(drop, wire::ParseDrop::kIpv6OptionReport);
  ip.send_parse_problem({kEther, received, view, batch}, drop, now);
  const auto out = sent();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(Bytes(out[0].begin() + 54, out[0].begin() + 56), wire::hex("0402"));
  EXPECT_EQ(base::load_be32(&out[0][58]), 42U);
}

TEST_F(IpInput, Fragments_AreSentForBothFamilies) {
  receive(ipv4_frame("10.0.0.2", "10.0.0.1", Protocol::kUdp, udp()));
  for (const char* remote : {"10.0.0.255", "ff02::1"}) {
    port::Path path{};
    const auto local = addr(remote).is_v4() ? addr("10.0.0.1") : addr("fd00::1");
    ASSERT_EQ(ip.make_path(addr(remote), local, now, outputs, path), PathOutcome::kReady);
    const Bytes l4 = udp(3000);
    ASSERT_TRUE(ip.send_fragments(path, 17, l4, batch));
    const auto out = sent();
    ASSERT_EQ(out.size(), 3U);
    Bytes back(l4.size());
    for (const auto& frame : out) {
      wire::PacketView v;
      ASSERT_EQ(wire::parse_frame(frame, {}, v), wire::ParseDrop::kNone);
      EXPECT_TRUE(v.is_fragment);
      EXPECT_EQ(v.protocol, Protocol::kUdp);
      EXPECT_LE(v.l3_length(), 1500U);
      std::copy(frame.begin() + v.l4_offset, frame.begin() + v.end,
                back.begin() + v.fragment_offset);
    }
    EXPECT_EQ(back, l4);
  }
}

TEST_F(IpInput, RemovedAddress_IsNotOursAnyMore) {
  EXPECT_TRUE(ip.remove_address(kEther, addr("10.0.0.1")));
  EXPECT_FALSE(ip.remove_address(kEther, addr("10.0.0.1")));
  EXPECT_FALSE(ip.next_hop(addr("10.0.0.2")));
  EXPECT_EQ(receive(ipv4_frame("10.0.0.2", "10.0.0.1", Protocol::kUdp, udp())).action,
            Verdict::Action::kDone);
}

TEST(IpCounters, Names_AreAllThereAndDiffer) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < Counters::kSize; ++i) {
    const auto text = name(static_cast<Counter>(i));
    EXPECT_FALSE(text.empty());
    EXPECT_TRUE(names.insert(text).second) << text;
  }
}

}  // namespace
}  // namespace ringway::ip
