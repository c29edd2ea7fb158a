#include "ip/test_host.h"
#include "wire/arp.h"
#include "wire/nd.h"

namespace ringway::ip {
namespace {

using Neighbours = IpHost;

Bytes arp(std::string_view text, const base::MacAddress& dst = kOurMac) {
  return ethernet(dst, kPeerMac, "0806") + wire::hex("0001 0800 06 04") + wire::hex(text);
}
const char* const kReply = "0002 020000000002 0a000002 020000000001 0a000001";
const char* const kRequest = "0001 020000000002 0a000002 000000000000 0a000001";

TEST_F(Neighbours, UnknownNeighbour_IsAskedByBroadcast) {
  port::Path path{};
  EXPECT_EQ(ip.make_path(addr("10.0.0.2"), {}, now, outputs, path), PathOutcome::kPending);
  EXPECT_EQ(path.flags & port::kPathPending, port::kPathPending);
  EXPECT_EQ(path.local, addr("10.0.0.1"));
  const auto out = sent();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0], wire::hex("ffffffffffff 020000000001 0806 0001 0800 06 04 0001"
                              "020000000001 0a000001 000000000000 0a000002"));
  EXPECT_EQ(ip.next_deadline(), at_ms(1000));
}

TEST_F(Neighbours, ReplyResolves_PathGetsItsMac) {
  port::Path path{};
  ip.make_path(addr("10.0.0.2"), {}, now, outputs, path);
  const auto before = state->generation;
  receive(arp(kReply));
  EXPECT_NE(state->generation, before);
  ASSERT_EQ(ip.make_path(addr("10.0.0.2"), {}, now, outputs, path), PathOutcome::kReady);
  EXPECT_EQ(path.flags & port::kPathPending, 0);
  std::array<std::byte, 64> frame{};
  std::byte* l4 = path.write_header(frame.data(), 17, 8);
  EXPECT_EQ(l4, frame.data() + 34);
  wire::PacketView v;
  ASSERT_EQ(wire::parse_frame(std::span(frame).first(42), {.checksums_trusted = true}, v),
            wire::ParseDrop::kUdpHeader);  // addresses are right, the payload is not there
  EXPECT_EQ(v.src, addr("10.0.0.1"));
  EXPECT_EQ(v.dst, addr("10.0.0.2"));
  EXPECT_TRUE(v.dont_fragment);
  EXPECT_EQ(Bytes(frame.begin(), frame.begin() + 14), wire::hex("020000000002 020000000001 0800"));
  EXPECT_TRUE(wire::Ipv4Header::checksum_ok(std::span(frame).subspan(14, 20)));
}

TEST_F(Neighbours, ExternalOnes_AreListedNotAsked_AndHoldUntilDropped) {
  ip.set_neighbours_external(kEther);
  port::Path path{};
  EXPECT_EQ(ip.make_path(addr("10.0.0.2"), {}, now, outputs, path), PathOutcome::kPending);
  EXPECT_EQ(sent().size(), 0U) << "somebody else asks";
  EXPECT_EQ(ip.take_wanted(), addr("10.0.0.2"));
  EXPECT_FALSE(ip.take_wanted());
  const Bytes frame(60, std::byte{7});
  EXPECT_TRUE(ip.hold(path, frame));
  const auto before = state->generation;
  ip.set_neighbour({kEther, addr("10.0.0.2"), kPeerMac}, batch);
  EXPECT_NE(state->generation, before);
  EXPECT_EQ(sent().size(), 1U) << "what waited leaves";
  EXPECT_EQ(ip.make_path(addr("10.0.0.2"), {}, now, outputs, path), PathOutcome::kReady);
  ip.poll(at_ms(100'000), outputs);
  EXPECT_EQ(ip.make_path(addr("10.0.0.2"), {}, now, outputs, path), PathOutcome::kReady)
      << "it does not age";
  ip.drop_neighbour(kEther, addr("10.0.0.2"));
  EXPECT_EQ(ip.make_path(addr("10.0.0.2"), {}, now, outputs, path), PathOutcome::kPending);
  EXPECT_EQ(ip.take_wanted(), addr("10.0.0.2"));
}

TEST_F(Neighbours, Silence_ThreeRequestsThenFailure) {
  port::Path path{};
  ip.make_path(addr("10.0.0.2"), {}, now, outputs, path);
  const Bytes frame(60, std::byte{7});
  EXPECT_TRUE(ip.hold(path, frame));
  EXPECT_EQ(sent().size(), 1U);
  for (const int second : {1, 2}) {
    ip.poll(at_ms(second * 1000 - 1), outputs);
    EXPECT_EQ(sent().size(), 0U);
    ip.poll(at_ms(second * 1000), outputs);
    EXPECT_EQ(sent().size(), 1U);
    EXPECT_FALSE(ip.take_failed());
  }
  ip.poll(at_ms(3000), outputs);
  EXPECT_EQ(sent().size(), 0U);
  EXPECT_EQ(ip.take_failed(), addr("10.0.0.2"));
  EXPECT_FALSE(ip.take_failed());
  EXPECT_EQ(counted(Counter::kDropUnresolved), 1U);
  EXPECT_TRUE(ip.next_deadline().is_never());
  EXPECT_EQ(state->neighbours.size(), 0U);
}

TEST_F(Neighbours, HeldFrames_LeaveInOrderWithTheMac_OldestIsDropped) {
  port::Path path{};
  ip.make_path(addr("10.0.0.2"), {}, now, outputs, path);
  for (std::uint8_t i = 0; i < 6; ++i) {
    EXPECT_TRUE(ip.hold(path, Bytes(60, static_cast<std::byte>(i))));
  }
  EXPECT_EQ(counted(Counter::kDropPendingFull), 2U);
  sent();
  receive(arp(kReply));
  const auto out = sent();
  ASSERT_EQ(out.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(Bytes(out[i].begin(), out[i].begin() + 6), wire::hex("020000000002"));
    EXPECT_EQ(out[i].back(), static_cast<std::byte>(i + 2));
  }
}

TEST_F(Neighbours, FrameForAnUnknownNeighbour_IsNotHeld) {
  port::Path path{};
  path.remote = addr("10.0.0.9");
  EXPECT_FALSE(ip.hold(path, Bytes(60)));
}

TEST_F(Neighbours, RequestForUs_IsAnsweredAndRemembered) {
  receive(arp(kRequest, base::MacAddress::broadcast()));
  const auto out = sent();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0], wire::hex("020000000002 020000000001 0806 0001 0800 06 04 0002"
                              "020000000001 0a000001 020000000002 0a000002"));
  port::Path path{};
  EXPECT_EQ(ip.make_path(addr("10.0.0.2"), {}, now, outputs, path), PathOutcome::kReady);
}

TEST_F(Neighbours, RequestForOthersOrGratuitous_CreatesNothing) {
  receive(arp("0001 020000000002 0a000002 000000000000 0a000009"));
  receive(arp("0001 020000000002 0a000002 000000000000 0a000002"));
  EXPECT_TRUE(sent().empty());
  EXPECT_EQ(state->neighbours.size(), 0U);
}

TEST_F(Neighbours, RequestFromOutsideTheSubnet_IsAnsweredButNotRemembered) {
  receive(arp("0001 020000000002 0b000002 000000000000 0a000001"));
  EXPECT_EQ(sent().size(), 1U);
  EXPECT_EQ(state->neighbours.size(), 0U);
}

TEST_F(Neighbours, ArpProbeForOurAddress_IsAnswered) {
  receive(arp("0001 020000000002 00000000 000000000000 0a000001"));
  EXPECT_EQ(sent().size(), 1U);
  EXPECT_EQ(state->neighbours.size(), 0U);
}

TEST_F(Neighbours, GratuitousArp_UpdatesAKnownNeighbour) {
  receive(arp(kRequest));
  port::Path path{};
  ip.make_path(addr("10.0.0.2"), {}, now, outputs, path);
  const auto before = state->generation;
  receive(arp("0001 0200000000aa 0a000002 000000000000 0a000002"));
  EXPECT_NE(state->generation, before);
  ip.make_path(addr("10.0.0.2"), {}, now, outputs, path);
  EXPECT_EQ(Bytes(path.header.begin(), path.header.begin() + 6), wire::hex("0200000000aa"));
  sent();
}

TEST_F(Neighbours, OurAddressClaimedByAnother_IsDefendedOnceInTenSeconds) {
  const auto claim = arp("0001 020000000002 0a000001 000000000000 0a000001");
  receive(claim);
  const auto out = sent();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0], wire::hex("ffffffffffff 020000000001 0806 0001 0800 06 04 0001"
                              "020000000001 0a000001 000000000000 0a000001"));
  now = at_ms(9'999);
  receive(claim);
  EXPECT_TRUE(sent().empty());
  now = at_ms(10'000);
  receive(claim);
  EXPECT_EQ(sent().size(), 1U);
  EXPECT_EQ(counted(Counter::kAddressConflict), 3U);
  EXPECT_EQ(state->neighbours.size(), 0U);
}

TEST_F(Neighbours, Reachable_GoesStaleDelaysAndIsProbedByUnicast) {
  port::Path path{};
  ip.make_path(addr("10.0.0.2"), {}, now, outputs, path);
  receive(arp(kReply));
  sent();
  ip.poll(at_ms(1000), outputs);  // the request's own deadline: nothing is due any more
  EXPECT_TRUE(sent().empty());
  EXPECT_EQ(ip.next_deadline(), at_ms(30'000));
  const auto before = state->generation;
  ip.poll(at_ms(30'000), outputs);
  EXPECT_NE(state->generation, before);  // whoever uses it looks it up again
  EXPECT_TRUE(ip.next_deadline().is_never());
  EXPECT_EQ(ip.make_path(addr("10.0.0.2"), {}, at_ms(40'000), outputs, path), PathOutcome::kReady);
  EXPECT_TRUE(sent().empty());
  EXPECT_EQ(ip.next_deadline(), at_ms(45'000));
  ip.poll(at_ms(45'000), outputs);
  const auto out = sent();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(Bytes(out[0].begin(), out[0].begin() + 6), wire::hex("020000000002"));
  now = at_ms(45'500);
  receive(arp(kReply));
  ip.poll(at_ms(46'000), outputs);
  EXPECT_TRUE(sent().empty());
  EXPECT_EQ(ip.next_deadline(), at_ms(75'500));
}

TEST_F(Neighbours, ProbeWithoutAnswer_GivesUpAfterThree) {
  receive(arp(kRequest));
  sent();
  port::Path path{};
  ip.make_path(addr("10.0.0.2"), {}, now, outputs, path);
  for (const int ms : {5000, 6000, 7000}) {
    ip.poll(at_ms(ms), outputs);
    EXPECT_EQ(sent().size(), 1U) << ms;
  }
  ip.poll(at_ms(8000), outputs);
  EXPECT_TRUE(sent().empty());
  EXPECT_EQ(ip.take_failed(), addr("10.0.0.2"));
}

TEST_F(Neighbours, ConfirmFromTheUpperLayer_StopsTheProbe) {
  receive(arp(kRequest));
  sent();
  port::Path path{};
  ip.make_path(addr("10.0.0.2"), {}, now, outputs, path);
  ip.confirm(addr("10.0.0.2"), at_ms(4000));
  ip.poll(at_ms(5000), outputs);
  EXPECT_TRUE(sent().empty());
  EXPECT_EQ(ip.next_deadline(), at_ms(34'000));
}

TEST_F(Neighbours, FullCache_ForgetsTheLeastRecentlyUsed) {
  port::Path path{};
  const auto host = [](std::uint32_t i) { return base::IpAddress::v4(0x0a000000U + i); };
  ip.add_address(kEther, {addr("10.0.0.1"), 8});
  for (std::uint32_t i = 0; i < NeighbourCache::kCapacity; ++i) {
    ip.make_path(host(i + 100), {}, now, outputs, path);
    sent();
  }
  ip.hold(path, Bytes(60));
  ip.make_path(host(100), {}, now, outputs, path);  // used again: the second one is oldest now
  ip.make_path(host(50), {}, now, outputs, path);
  sent();
  EXPECT_EQ(state->neighbours.size(), NeighbourCache::kCapacity);
  EXPECT_NE(state->neighbours.find(kEther, host(100)), 0U);
  EXPECT_EQ(state->neighbours.find(kEther, host(101)), 0U);
  EXPECT_EQ(counted(Counter::kNeighbourEvicted), 1U);
  held = 1;
}

TEST_F(Neighbours, GatewayIsAsked_ForWhatIsBehindIt) {
  ip.add_route({{addr("0.0.0.0"), 0}, addr("10.0.0.254"), 0, kEther});
  port::Path path{};
  EXPECT_EQ(ip.make_path(addr("192.0.2.7"), {}, now, outputs, path), PathOutcome::kPending);
  const auto out = sent();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(Bytes(out[0].end() - 4, out[0].end()), wire::hex("0a0000fe"));
}

TEST_F(Neighbours, NoRouteAndNoSource_AreTold) {
  port::Path path{};
  EXPECT_EQ(ip.make_path(addr("192.0.2.7"), {}, now, outputs, path), PathOutcome::kNoRoute);
  EXPECT_EQ(ip.make_path(addr("10.0.0.2"), addr("fd00::1"), now, outputs, path),
            PathOutcome::kNoSource);
}

TEST_F(Neighbours, LinkEther_NeedsNoResolution) {
  port::Path path{};
  EXPECT_EQ(ip.make_path(addr("127.0.0.1"), {}, now, outputs, path), PathOutcome::kReady);
  EXPECT_EQ(path.local, addr("127.0.0.1"));
  EXPECT_EQ(path.mtu, 65'535);
  EXPECT_EQ(ip.make_path(addr("::1"), {}, now, outputs, path), PathOutcome::kReady);
  EXPECT_EQ(path.local, addr("::1"));
  EXPECT_TRUE(sent().empty());
}

TEST_F(Neighbours, MulticastAndBroadcast_NeedNoResolution) {
  port::Path path{};
  ASSERT_EQ(ip.make_path(addr("224.0.0.251"), addr("10.0.0.1"), now, outputs, path),
            PathOutcome::kReady);
  EXPECT_EQ(Bytes(path.header.begin(), path.header.begin() + 6), wire::hex("01005e0000fb"));
  ASSERT_EQ(ip.make_path(addr("10.0.0.255"), {}, now, outputs, path), PathOutcome::kReady);
  EXPECT_EQ(Bytes(path.header.begin(), path.header.begin() + 6), wire::hex("ffffffffffff"));
}

TEST_F(Neighbours, Announce_TellsEveryAddress) {
  ip.announce(kEther, batch);
  EXPECT_EQ(sent().size(), 3U);
}

// Neighbour discovery.

Bytes solicitation(std::string_view src, std::string_view dst, std::string_view rest,
                   std::uint8_t hop_limit = 255) {
  return ipv6_frame(src, dst, wire::Protocol::kIcmpv6,
                    icmpv6("87 00 0000 00000000" + std::string(rest), src, dst), hop_limit);
}
const char* const kTarget1 = "fd000000000000000000000000000001";

TEST_F(Neighbours, Ipv6Neighbour_IsAskedAtItsGroupAndResolves) {
  port::Path path{};
  EXPECT_EQ(ip.make_path(addr("fd00::2"), {}, now, outputs, path), PathOutcome::kPending);
  auto out = sent();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(Bytes(out[0].begin(), out[0].begin() + 6), wire::hex("3333ff000002"));
  wire::PacketView v;
  ASSERT_EQ(wire::parse_frame(out[0], {}, v), wire::ParseDrop::kNone);
  EXPECT_EQ(v.ttl, 255);
  EXPECT_EQ(v.src, addr("fd00::1"));
  EXPECT_EQ(v.dst, addr("ff02::1:ff00:2"));
  const auto ns = wire::NeighborSolicitation::parse(std::span(out[0]).subspan(v.l4_offset));
  ASSERT_TRUE(ns);
  EXPECT_EQ(ns->target, addr("fd00::2"));
  EXPECT_EQ(ns->source_mac, kOurMac);
  receive(
      ipv6_frame("fd00::2", "fd00::1", wire::Protocol::kIcmpv6,
                 icmpv6("88 00 0000 60000000 fd000000000000000000000000000002 02 01 020000000002",
                        "fd00::2", "fd00::1"),
                 255));
  EXPECT_EQ(ip.make_path(addr("fd00::2"), {}, now, outputs, path), PathOutcome::kReady);
  EXPECT_EQ(Bytes(path.header.begin(), path.header.begin() + 6), wire::hex("020000000002"));
}

TEST_F(Neighbours, SolicitationForUs_IsAnsweredAndRemembered) {
  receive(solicitation("fd00::2", "ff02::1:ff00:1", std::string(kTarget1) + "01 01 020000000002"));
  const auto out = sent();
  ASSERT_EQ(out.size(), 1U);
  wire::PacketView v;
  ASSERT_EQ(wire::parse_frame(out[0], {}, v), wire::ParseDrop::kNone);
  EXPECT_EQ(v.dst, addr("fd00::2"));
  EXPECT_EQ(v.ttl, 255);
  const auto na = wire::NeighborAdvertisement::parse(std::span(out[0]).subspan(v.l4_offset));
  ASSERT_TRUE(na);
  EXPECT_TRUE(na->solicited);
  EXPECT_TRUE(na->override_entry);
  EXPECT_EQ(na->target, addr("fd00::1"));
  EXPECT_EQ(na->target_mac, kOurMac);
  port::Path path{};
  EXPECT_EQ(ip.make_path(addr("fd00::2"), {}, now, outputs, path), PathOutcome::kReady);
}

TEST_F(Neighbours, SolicitationOfAnotherHopLimit_IsDropped) {
  receive(solicitation("fd00::2", "ff02::1:ff00:1", kTarget1, 254));
  EXPECT_TRUE(sent().empty());
  EXPECT_EQ(counted(Counter::kDropBadNd), 1U);
}

TEST_F(Neighbours, DuplicateAddressProbe_IsAnsweredToAll) {
  receive(solicitation("::", "ff02::1:ff00:1", kTarget1));
  const auto out = sent();
  ASSERT_EQ(out.size(), 1U);
  wire::PacketView v;
  ASSERT_EQ(wire::parse_frame(out[0], {}, v), wire::ParseDrop::kNone);
  EXPECT_EQ(v.dst, addr("ff02::1"));
  EXPECT_EQ(state->neighbours.size(), 0U);
}

TEST_F(Neighbours, AdvertisementWithoutOverride_DoesNotChangeTheMac) {
  receive(solicitation("fd00::2", "ff02::1:ff00:1", std::string(kTarget1) + "01 01 020000000002"));
  sent();
  receive(
      ipv6_frame("fd00::2", "fd00::1", wire::Protocol::kIcmpv6,
                 icmpv6("88 00 0000 40000000 fd000000000000000000000000000002 02 01 0200000000aa",
                        "fd00::2", "fd00::1"),
                 255));
  port::Path path{};
  ip.make_path(addr("fd00::2"), {}, now, outputs, path);
  EXPECT_EQ(Bytes(path.header.begin(), path.header.begin() + 6), wire::hex("020000000002"));
}

TEST_F(Neighbours, UnsolicitedAdvertisementOfAnUnknown_IsIgnored) {
  receive(
      ipv6_frame("fd00::2", "fd00::1", wire::Protocol::kIcmpv6,
                 icmpv6("88 00 0000 20000000 fd000000000000000000000000000002 02 01 020000000002",
                        "fd00::2", "fd00::1"),
                 255));
  EXPECT_EQ(state->neighbours.size(), 0U);
}

}  // namespace
}  // namespace ringway::ip
