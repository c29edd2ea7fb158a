#include "udp/udp_test_fixture.h"

namespace ringway::udp {
namespace {

TEST_F(UdpTest, SendTo_WritesHeaderAndChecksum) {
  const auto s = bound(at("10.0.0.1", 53));
  EXPECT_EQ(send_to(s, "hello").bytes, 5U);
  const auto out = flush();
  ASSERT_EQ(out.size(), 1U);
  wire::PacketView v;
  ASSERT_EQ(wire::parse_frame(out[0], {}, v), wire::ParseDrop::kNone);
  EXPECT_TRUE(v.l4_checksum_ok);
  EXPECT_NE(base::load_be16(&out[0][40]), 0);
  EXPECT_EQ(v.src_port, 53);
  EXPECT_EQ(v.dst_port, 4000);
  EXPECT_EQ(Bytes(out[0].begin() + v.payload_offset, out[0].end()), bytes_of("hello"));
}

TEST_F(UdpTest, SendOverIpv6_GathersAndVerifies) {
  const auto s = bound(at("::", 53));
  char a[] = "he";
  char b[] = "llo";
  iovec v[3] = {{a, 2}, {nullptr, 0}, {b, 3}};
  EXPECT_EQ(udp.send_to(s, v, at("fd00::2", 9), kPath6).bytes, 5U);
  const auto out = flush();
  ASSERT_EQ(out.size(), 1U);
  wire::PacketView view;
  ASSERT_EQ(wire::parse_frame(out[0], {}, view), wire::ParseDrop::kNone);
  EXPECT_EQ(Bytes(out[0].begin() + view.payload_offset, out[0].end()), bytes_of("hello"));
}

TEST_F(UdpTest, PortThatSums_GetsThePseudoHeader) {
  paths[kPath].flags = port::kPathTxChecksum;
  const auto s = bound(at("10.0.0.1", 53));
  send_to(s, "hello");
  auto out = flush();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(port_.flags.at(0), mem::kFrameCsumNeeded);
  // A device sums up from the UDP header on, and stores the complement.
  const auto sum = wire::internet_checksum(std::span(out[0]).subspan(34));
  base::store_be16(&out[0][40], sum);
  wire::PacketView v;
  EXPECT_EQ(wire::parse_frame(out[0], {}, v), wire::ParseDrop::kNone);
  EXPECT_TRUE(v.l4_checksum_ok);
}

TEST_F(UdpTest, ConnectedSocket_SendsToItsPeerOnly) {
  const auto s = bound(at("10.0.0.1", 53));
  EXPECT_EQ(udp.send(s, {}).error, EDESTADDRREQ);
  EXPECT_EQ(udp.connect(s, addr("10.0.0.1"), at("10.0.0.2", 4000), kPath), 0);
  EXPECT_EQ(paths[kPath].users, 1U);
  char text[] = "hi";
  iovec v{text, 2};
  EXPECT_EQ(udp.send(s, {&v, 1}).bytes, 2U);
  EXPECT_EQ(flush().size(), 1U);
  EXPECT_EQ(receive("x", at("10.0.0.1", 53), at("10.0.0.2", 4001)), Outcome::kNoSocket);
  udp.disconnect(s, addr("0.0.0.0"));
  EXPECT_EQ(paths[kPath].users, 0U);
  EXPECT_EQ(receive("x", at("10.0.0.1", 53), at("10.0.0.2", 4001)), Outcome::kDelivered);
}

TEST_F(UdpTest, RefusedSends_SayWhy) {
  const auto s = bound(at("10.0.0.1", 53));
  EXPECT_EQ(send_to(s, std::string(65'508, 'x')).error, EMSGSIZE);
  EXPECT_EQ(send_to(s, "x", at("10.0.0.2", 0)).error, EINVAL);
  EXPECT_EQ(send_to(s, "x", at("10.0.0.2", 1), 0).error, ENETUNREACH);
  paths[kPath].flags = port::kPathDown;
  EXPECT_EQ(send_to(s, "x").error, ENETUNREACH);
  paths[kPath].flags = 0;
  udp.shutdown_write(s);
  EXPECT_EQ(send_to(s, "x").error, EPIPE);
}

TEST_F(UdpTest, Broadcast_NeedsLeave) {
  paths[3] = make_path("10.0.0.1", "10.0.0.255");
  std::memset(paths[3].header.data(), 0xff, 6);
  const auto s = bound(at("10.0.0.1", 53));
  EXPECT_EQ(send_to(s, "x", at("10.0.0.255", 9), 3).error, EACCES);
  udp.options(s).broadcast = true;
  EXPECT_EQ(send_to(s, "x", at("10.0.0.255", 9), 3).bytes, 1U);
  flush();
}

TEST_F(UdpTest, BeyondTheMtu_IsCutUnlessForbidden) {
  const auto s = bound(at("10.0.0.1", 53));
  EXPECT_EQ(send_to(s, std::string(1472, 'x')).bytes, 1472U);
  EXPECT_EQ(flush().size(), 1U);
  EXPECT_EQ(send_to(s, std::string(65'507, 'x')).bytes, 65'507U);
  ASSERT_EQ(cut_datagrams.size(), 1U);
  ASSERT_EQ(cut_datagrams[0].size(), 65'515U);
  auto sum = wire::pseudo_header(addr("10.0.0.1"), addr("10.0.0.2"), 17, 65'515);
  sum.add(cut_datagrams[0]);
  EXPECT_TRUE(sum.verifies());
  udp.options(s).dont_fragment = true;
  EXPECT_EQ(send_to(s, std::string(1473, 'x')).error, EMSGSIZE);
}

TEST_F(UdpTest, PendingPath_QueuesInOrderAndSendsWhenReady) {
  paths[kPath].flags = port::kPathPending;
  const auto s = bound(at("10.0.0.1", 53));
  EXPECT_EQ(send_to(s, "one").bytes, 3U);
  EXPECT_EQ(send_to(s, std::string(700, '2')).bytes, 700U);
  EXPECT_EQ(paths[kPath].users, 2U);
  udp.output();
  EXPECT_TRUE(udp.has_output());
  EXPECT_TRUE(flush().empty());
  paths[kPath].flags = 0;
  EXPECT_EQ(send_to(s, "three").bytes, 5U);
  udp.output();
  EXPECT_FALSE(udp.has_output());
  const auto out = flush();
  ASSERT_EQ(out.size(), 3U);
  EXPECT_EQ(out[0].size(), 42U + 3);
  EXPECT_EQ(out[1].size(), 42U + 700);
  EXPECT_EQ(out[2].size(), 42U + 5);
  for (const auto& frame : out) {
    wire::PacketView v;
    EXPECT_EQ(wire::parse_frame(frame, {}, v), wire::ParseDrop::kNone);
  }
}

TEST_F(UdpTest, FullSendBuffer_SaysAgainAndTellsOfRoom) {
  paths[kPath].flags = port::kPathPending;
  const auto s = bound(at("10.0.0.1", 53), {.send_buffer_bytes = 2048});
  int taken = 0;
  while (send_to(s, "x").error == 0) ++taken;
  EXPECT_EQ(taken, 8);
  EXPECT_EQ(send_to(s, "x").error, EAGAIN);
  EXPECT_EQ(udp.readiness(s) & EPOLLOUT, 0U);
  paths[kPath].flags = 0;
  udp.output();
  EXPECT_NE(events_of(s) & EPOLLOUT, 0U);
  EXPECT_EQ(flush().size(), 8U);
}

TEST_F(UdpTest, FailedPath_DropsWhatWaitsForItAndTells) {
  paths[kPath].flags = port::kPathPending;
  paths[kPath6].flags = port::kPathPending;
  const auto s = bound(at("::", 53));
  send_to(s, "four");
  send_to(s, "six", at("fd00::2", 9), kPath6);
  udp.path_failed(kPath, EHOSTUNREACH);
  EXPECT_EQ(paths[kPath].users, 0U);
  EXPECT_EQ(events_of(s), static_cast<std::uint32_t>(EPOLLERR));
  EXPECT_EQ(udp.error(s), EHOSTUNREACH);
  EXPECT_EQ(udp.error(s), 0);
  paths[kPath6].flags = 0;
  udp.output();
  EXPECT_EQ(flush().size(), 1U);
}

TEST_F(UdpTest, ClosedSocket_StillSendsWhatWaits) {
  paths[kPath].flags = port::kPathPending;
  const auto s = bound(at("10.0.0.1", 53));
  send_to(s, "bye");
  close(s);
  EXPECT_EQ(udp.find(at("10.0.0.1", 53), at("10.0.0.2", 1)), 0U);
  paths[kPath].flags = 0;
  udp.output();
  EXPECT_EQ(flush().size(), 1U);
  EXPECT_EQ(state->sockets.in_use(), 0U);
}

TEST_F(UdpTest, IcmpError_ReachesConnectedSocketsOnly) {
  const auto s = bound(at("10.0.0.1", 53));
  udp.on_icmp_error(at("10.0.0.1", 53), at("10.0.0.2", 4000), ECONNREFUSED);
  EXPECT_EQ(udp.error(s), 0);
  udp.options(s).receive_errors = true;
  udp.on_icmp_error(at("10.0.0.1", 53), at("10.0.0.2", 4000), ECONNREFUSED);
  EXPECT_EQ(udp.error(s), ECONNREFUSED);
  udp.options(s).receive_errors = false;
  udp.connect(s, addr("10.0.0.1"), at("10.0.0.2", 4000), kPath);
  udp.on_icmp_error(at("10.0.0.1", 53), at("10.0.0.2", 4000), ECONNREFUSED);
  EXPECT_NE(udp.readiness(s) & EPOLLERR, 0U);
  EXPECT_EQ(take(s), "");
  EXPECT_EQ(error, ECONNREFUSED);
  EXPECT_EQ(send_to(s, "x").bytes, 1U);
  flush();
}

TEST_F(UdpTest, ShutdownRead_EndsTheStream) {
  const auto s = bound(at("10.0.0.1", 53));
  udp.shutdown_read(s);
  EXPECT_EQ(receive("x"), Outcome::kDropped);
  take(s);
  EXPECT_EQ(error, 0);
  EXPECT_NE(udp.readiness(s) & EPOLLRDHUP, 0U);
  udp.shutdown_write(s);
  EXPECT_NE(udp.readiness(s) & EPOLLHUP, 0U);
}

TEST_F(UdpTest, Memberships_AreListedOnceEach) {
  const auto s = bound(at("0.0.0.0", 5353));
  EXPECT_EQ(udp.join(s, addr("224.0.0.251"), 1), 0);
  EXPECT_EQ(udp.join(s, addr("224.0.0.251"), 1), EADDRINUSE);
  EXPECT_EQ(udp.join(s, addr("224.0.0.251"), 2), 0);
  EXPECT_EQ(udp.leave(s, addr("224.0.0.251"), 2), 0);
  EXPECT_EQ(udp.leave(s, addr("224.0.0.251"), 2), EADDRNOTAVAIL);
  Membership m;
  ASSERT_TRUE(udp.take_membership(s, m));
  EXPECT_EQ(m.interface, 1U);
  EXPECT_FALSE(udp.take_membership(s, m));
}

TEST_F(UdpTest, CloseWithEverythingQueued_LeaksNothing) {
  const auto s = bound(at("10.0.0.1", 53));
  receive("small");
  receive(std::string(9000, 'l'));
  udp.join(s, addr("224.0.0.251"), 1);
  udp.connect(s, addr("10.0.0.1"), at("10.0.0.2", 4000), kPath);
  close(s);
  EXPECT_EQ(events_of(s), 0U);
  EXPECT_EQ(cells->in_use(), 0U);
}

TEST_F(UdpTest, NoCells_DropsAndCounts) {
  const auto s = bound(at("10.0.0.1", 53), {.receive_buffer_bytes = Options::kMaxBuffer});
  std::vector<std::uint32_t> all;
  while (const std::uint32_t i = cells->allocate_raw()) all.push_back(i);
  EXPECT_EQ(receive("x"), Outcome::kDropped);
  EXPECT_EQ(counted(Counter::kDropNoMemory), 1U);
  paths[kPath].flags = port::kPathPending;
  EXPECT_EQ(send_to(s, "x").error, ENOBUFS);
  cells->free(all.back());
  all.pop_back();
  EXPECT_EQ(receive(std::string(1000, 'x')), Outcome::kDropped);
  EXPECT_EQ(receive("x"), Outcome::kDelivered);
  for (const auto i : all) cells->free(i);
}

TEST(UdpCounters, Names_AreAllThereAndDiffer) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < Counters::kSize; ++i) {
    const auto text = name(static_cast<Counter>(i));
    EXPECT_FALSE(text.empty());
    EXPECT_TRUE(names.insert(text).second) << text;
  }
}

}  // namespace
}  // namespace ringway::udp
