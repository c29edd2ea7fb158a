#include "udp/udp_test_fixture.h"

namespace ringway::udp {
namespace {

TEST_F(UdpTest, Datagram_IsDeliveredWithItsAddresses) {
  const auto s = bound(at("10.0.0.1", 53));
  EXPECT_EQ(udp.readiness(s), EPOLLOUT | EPOLLWRNORM);
  EXPECT_EQ(receive("hello"), Outcome::kDelivered);
  EXPECT_EQ(events_of(s), static_cast<std::uint32_t>(EPOLLIN));
  EXPECT_EQ(udp.readable_bytes(s), 5U);
  EXPECT_NE(udp.readiness(s) & EPOLLIN, 0U);
  EXPECT_EQ(take(s), "hello");
  EXPECT_EQ(message.remote, at("10.0.0.2", 4000));
  EXPECT_EQ(message.local, addr("10.0.0.1"));
  EXPECT_EQ(message.length, 5U);
  EXPECT_EQ(take(s), "");
  EXPECT_EQ(error, EAGAIN);
}

TEST_F(UdpTest, EmptyDatagram_IsOneOfItsOwn) {
  const auto s = bound(at("10.0.0.1", 53));
  receive("");
  receive("x");
  EXPECT_EQ(take(s), "");
  EXPECT_EQ(error, 0);
  EXPECT_EQ(take(s), "x");
}

TEST_F(UdpTest, TooSmallABuffer_TruncatesAndTells) {
  const auto s = bound(at("10.0.0.1", 53));
  receive("hello");
  receive("next");
  EXPECT_EQ(take(s, 2), "he");
  EXPECT_EQ(message.length, 5U);
  EXPECT_EQ(take(s), "next");
}

TEST_F(UdpTest, Peek_LeavesTheDatagram) {
  const auto s = bound(at("10.0.0.1", 53));
  receive("hello");
  char text[8];
  iovec v{text, sizeof text};
  EXPECT_EQ(udp.recv(s, {&v, 1}, true, message).bytes, 5U);
  EXPECT_EQ(take(s), "hello");
}

TEST_F(UdpTest, Recv_ScattersOverSeveralBuffers) {
  const auto s = bound(at("10.0.0.1", 53));
  const std::string large(1000, 'a');
  receive(large + "bc");
  std::string first(1001, '\0');
  std::string second(10, '\0');
  iovec v[2] = {{first.data(), first.size()}, {second.data(), second.size()}};
  EXPECT_EQ(udp.recv(s, v, false, message).bytes, 1002U);
  EXPECT_EQ(first, large + "b");
  EXPECT_EQ(second[0], 'c');
}

TEST_F(UdpTest, LargeDatagram_IsCopiedOrKeptByReference) {
  const auto s = bound(at("10.0.0.1", 53));
  const std::string large(9000, 'q');
  EXPECT_EQ(receive(large), Outcome::kDelivered);
  EXPECT_EQ(take(s), large);
  const Bytes payload = bytes_of(std::string(1000, 'r'));
  std::byte* frame = peer_region.data() + 2 * 4096 + 100;
  wire::UdpHeader{4000, 53, 1008, 0}.emit(frame);
  std::copy(payload.begin(), payload.end(), frame + 8);
  Arrival a;
  a.data = frame;
  a.length = 1008;
  a.offset = 100;
  a.frame = mem::FrameRef::make(1, 2);
  a.local = addr("10.0.0.1");
  a.remote = addr("10.0.0.2");
  EXPECT_EQ(udp.input(a), Outcome::kDelivered);
  EXPECT_TRUE(a.taken);
  EXPECT_EQ(sink.released, 0U);
  EXPECT_EQ(take(s), std::string(1000, 'r'));
  EXPECT_EQ(sink.released, 1U);
  a.taken = false;
  a.must_copy = true;
  EXPECT_EQ(udp.input(a), Outcome::kDelivered);
  EXPECT_FALSE(a.taken);
  EXPECT_EQ(take(s), std::string(1000, 'r'));
}

TEST_F(UdpTest, FullReceiveBuffer_DropsAndCounts) {
  const auto s = bound(at("10.0.0.1", 53), {.receive_buffer_bytes = 2048});
  int delivered = 0;
  for (int i = 0; i < 20; ++i) delivered += receive("x") == Outcome::kDelivered ? 1 : 0;
  EXPECT_EQ(delivered, 8);
  EXPECT_EQ(udp.socket(s).drops, 12U);
  EXPECT_EQ(counted(Counter::kDropReceiveBuffer), 12U);
  take(s);
  EXPECT_EQ(receive("x"), Outcome::kDelivered);
}

TEST_F(UdpTest, OneLargeDatagram_FitsAnySmallBuffer) {
  const auto s = bound(at("10.0.0.1", 53), {.receive_buffer_bytes = 2048});
  EXPECT_EQ(receive(std::string(5000, 'x')), Outcome::kDelivered);
  EXPECT_EQ(receive("y"), Outcome::kDropped);
  EXPECT_EQ(take(s).size(), 5000U);
}

TEST_F(UdpTest, BadLengthOrNoSocket_AreTold) {
  EXPECT_EQ(receive("x"), Outcome::kNoSocket);
  const Bytes bad = {std::byte{1}, std::byte{2}, std::byte{0}, std::byte{53},
                     std::byte{0}, std::byte{9}, std::byte{0}, std::byte{0}};
  Arrival a;
  a.data = bad.data();
  a.length = 8;
  EXPECT_EQ(udp.input(a), Outcome::kDropped);
  EXPECT_EQ(counted(Counter::kDropBadHeader), 1U);
}

TEST_F(UdpTest, MostSpecificSocket_Wins) {
  const Options shared{.reuse_address = true};
  const auto any6 = bound(at("::", 53), shared);
  const auto any4 = bound(at("0.0.0.0", 53), shared);
  const auto exact = bound(at("10.0.0.1", 53), shared);
  const auto connected = bound(at("10.0.0.1", 53), shared);
  udp.connect(connected, addr("10.0.0.1"), at("10.0.0.2", 4000), kPath);
  EXPECT_EQ(udp.find(at("10.0.0.1", 53), at("10.0.0.2", 4000)), connected);
  EXPECT_EQ(udp.find(at("10.0.0.1", 53), at("10.0.0.2", 4001)), exact);
  EXPECT_EQ(udp.find(at("10.0.0.9", 53), at("10.0.0.2", 4001)), any4);
  EXPECT_EQ(udp.find(at("fd00::1", 53), at("fd00::2", 4001)), any6);
  close(any4);
  EXPECT_EQ(udp.find(at("10.0.0.9", 53), at("10.0.0.2", 4001)), any6);
  EXPECT_EQ(udp.find(at("10.0.0.9", 54), at("10.0.0.2", 4001)), 0U);
}

TEST_F(UdpTest, V6OnlySocket_TakesNoIpv4) {
  bound(at("::", 53), {.v6_only = true});
  EXPECT_EQ(udp.find(at("10.0.0.1", 53), at("10.0.0.2", 1)), 0U);
  EXPECT_NE(udp.find(at("fd00::1", 53), at("fd00::2", 1)), 0U);
  bound(at("0.0.0.0", 53));  // no conflict
}

TEST_F(UdpTest, BindConflicts_FollowAddressAndReuse) {
  bound(at("0.0.0.0", 53));
  const auto other = udp.open(1, {}).index;
  open.insert(other);
  EXPECT_EQ(udp.bind(other, at("10.0.0.1", 53)), EADDRINUSE);
  EXPECT_EQ(udp.bind(other, at("::", 53)), EADDRINUSE);
  udp.options(other).reuse_port = true;
  EXPECT_EQ(udp.bind(other, at("10.0.0.1", 53)), EADDRINUSE);
  EXPECT_EQ(udp.bind(other, at("10.0.0.1", 54)), 0);
  EXPECT_EQ(udp.bind(other, at("10.0.0.1", 55)), EINVAL);
  bound(at("10.0.0.1", 54), {.reuse_port = true});
}

TEST_F(UdpTest, ReusePort_SpreadsPeersAndKeepsEachAtOne) {
  const Options shared{.reuse_port = true};
  const std::set<std::uint32_t> group = {bound(at("10.0.0.1", 53), shared),
                                         bound(at("10.0.0.1", 53), shared),
                                         bound(at("10.0.0.1", 53), shared)};
  std::set<std::uint32_t> hit;
  for (std::uint16_t port = 1; port < 100; ++port) {
    const auto s = udp.find(at("10.0.0.1", 53), at("10.0.0.2", port));
    EXPECT_EQ(udp.find(at("10.0.0.1", 53), at("10.0.0.2", port)), s);
    hit.insert(s);
  }
  EXPECT_EQ(hit, group);
}

TEST_F(UdpTest, Multicast_GoesToEverySocketOfThePort) {
  const auto a = bound(at("0.0.0.0", 5353), {.reuse_address = true});
  const auto b = bound(at("224.0.0.251", 5353), {.reuse_address = true});
  EXPECT_EQ(receive("m", at("224.0.0.251", 5353), at("10.0.0.2", 5353), true), Outcome::kDelivered);
  EXPECT_EQ(take(a), "m");
  EXPECT_EQ(take(b), "m");
  EXPECT_EQ(receive("m", at("224.0.0.9", 9), at("10.0.0.2", 5353), true), Outcome::kNoSocket);
}

}  // namespace
}  // namespace ringway::udp
