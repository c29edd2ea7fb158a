// Opening: RFC 9293, 3.5 and 3.10.7.1 to 3.10.7.3.

#include <sys/epoll.h>

#include <cerrno>

#include "tcp/harness.h"
#include "tcp/limits.h"

namespace ringway::tcp {
namespace {

using base::Duration;

TEST(Handshake, Passive_AnswersAndIsAcceptedAfterTheAck) {
  Harness h;
  h.listen();
  h.in("S 0:0(0) win 8192 <mss 1000,sackOK,TS 7 0,wscale 2>");
  EXPECT_EQ(h.out(), "S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS 0 7,wscale 4>");
  EXPECT_EQ(h.tcp.accept(h.listener), 0U);
  h.in(". 1:1(0) ack 1 win 100 <TS 8 0>");
  Event e;
  ASSERT_TRUE(h.tcp.next_event(e));
  EXPECT_TRUE(e.listener);
  EXPECT_EQ(e.bits, static_cast<std::uint32_t>(EPOLLIN));
  h.accept();
  EXPECT_EQ(h.state(), State::kEstablished);
  EXPECT_EQ(h.conn().snd.wnd, 400U);
  EXPECT_EQ(h.conn().mss, 988U);  // 12 bytes of timestamps in every segment
}

TEST(Handshake, PeerWithoutOptions_GetsNone) {
  Harness h;
  h.listen();
  h.in("S 0:0(0) win 8192");
  EXPECT_EQ(h.out(), "S. 0:0(0) ack 1 win 65535 <mss 1460>");
  h.in(". 1:1(0) ack 1 win 8192");
  h.accept();
  EXPECT_EQ(h.conn().mss, kDefaultMss4);
  EXPECT_EQ(h.conn().snd_scale, 0);
}

TEST(Handshake, V6_UsesItsOwnSizes) {
  HarnessOptions o;
  o.v6 = true;
  Harness h(o);
  h.listen();
  h.in("S 0:0(0) win 8192");
  EXPECT_EQ(h.out(), "S. 0:0(0) ack 1 win 65535 <mss 1440>");
  h.in(". 1:1(0) ack 1 win 8192");
  h.accept();
  EXPECT_EQ(h.conn().mss, kDefaultMss6);
}

TEST(Handshake, SynLost_IsSentAgainWithBackoff_ThenTimesOut) {
  Harness h;
  h.connect();
  const std::string syn = "S 0:0(0) win 65535 <mss 1460,sackOK,TS 0 0,wscale 4>";
  EXPECT_EQ(h.out(), syn);
  std::int64_t wait = 1000;
  for (int i = 0; i < kSynRetries; ++i, wait *= 2) {
    h.advance_ms(wait - 1);
    EXPECT_EQ(h.out(), "");
    h.advance_ms(1);
    EXPECT_NE(h.out().find("S 0:0(0)"), std::string::npos) << i;
  }
  h.advance_ms(60'000);
  EXPECT_EQ(h.state(), State::kClosed);
  EXPECT_EQ(h.tcp.error(h.c), ETIMEDOUT);
  EXPECT_NE(h.events() & EPOLLERR, 0U);
  h.tcp.close(h.c, h.now);
}

TEST(Handshake, SynAckLost_IsSentAgain) {
  Harness h;
  h.listen();
  h.in("S 0:0(0) win 8192 <mss 1460>");
  const std::string answer = "S. 0:0(0) ack 1 win 65535 <mss 1460>";
  EXPECT_EQ(h.out(), answer);
  h.advance_ms(1000);
  EXPECT_EQ(h.out(), answer);
  h.in("S 0:0(0) win 8192 <mss 1460>");  // the peer's timer ran as well
  EXPECT_EQ(h.out(), answer);
  h.in(". 1:1(0) ack 1 win 8192");
  h.accept();
  EXPECT_EQ(h.conn().congestion.cwnd, h.conn().mss);  // RFC 5681, 3.1
}

TEST(Handshake, NobodyListens_SynGetsReset) {
  Harness h;
  h.in("S 5:5(0) win 8192 <mss 1460>");
  EXPECT_EQ(h.out(), "R. 0:0(0) ack 6");
  h.in("R 5:5(0) win 0");
  EXPECT_EQ(h.out(), "");
}

TEST(Handshake, NobodyListens_AckGetsResetWithItsNumber) {
  Harness h;
  h.in("P. 5:10(5) ack 700 win 8192");
  EXPECT_EQ(h.out(), "R 700:700(0)");
}

TEST(Handshake, Refused_ByReset) {
  Harness h;
  h.connect();
  h.out();
  h.in("R. 0:0(0) ack 1 win 0");
  EXPECT_EQ(h.tcp.readiness(h.c) & (EPOLLERR | EPOLLHUP),
            static_cast<std::uint32_t>(EPOLLERR | EPOLLHUP));
  EXPECT_EQ(h.tcp.error(h.c), ECONNREFUSED);
  EXPECT_EQ(h.tcp.error(h.c), 0);
  h.tcp.close(h.c, h.now);
}

TEST(SynSent, ResetWithoutAck_IsIgnored) {
  Harness h;
  h.connect();
  h.out();
  h.in("R 0:0(0) win 0");
  EXPECT_EQ(h.state(), State::kSynSent);
}

TEST(SynSent, AckTooHigh_SendsReset) {
  Harness h;
  h.connect();
  h.out();
  h.in("S. 0:0(0) ack 2 win 8192 <mss 1460>");
  EXPECT_EQ(h.out(), "R 2:2(0)");
  EXPECT_EQ(h.state(), State::kSynSent);
}

TEST(SynSent, SynAckWithText_KeepsTheText) {
  Harness h;
  h.connect();
  h.out();
  h.in("S. 0:3(3) ack 1 win 8192 <mss 1460>");
  EXPECT_EQ(h.state(), State::kEstablished);
  EXPECT_EQ(h.conn().rx.bytes, 3U);
}

TEST(SynSent, SimultaneousOpen_Establishes) {
  Harness h;
  h.connect();
  h.out();
  h.in("S 0:0(0) win 8192 <mss 1460>");
  EXPECT_EQ(h.state(), State::kSynReceived);
  EXPECT_EQ(h.out(), "S. 0:0(0) ack 1 win 65535 <mss 1460>");
  h.in("S. 0:0(0) ack 1 win 8192 <mss 1460>");
  EXPECT_EQ(h.state(), State::kEstablished);
  EXPECT_NE(h.events() & EPOLLOUT, 0U);
}

TEST(SynReceived, AckTooHigh_SendsReset) {
  Harness h;
  h.listen();
  h.in("S 0:0(0) win 8192 <mss 1460>");
  h.out();
  h.in(". 1:1(0) ack 2 win 8192");
  EXPECT_EQ(h.out(), "R 2:2(0)");
  EXPECT_EQ(h.state(), State::kSynReceived);
}

TEST(SynReceived, Reset_GoesBackToListening) {
  Harness h;
  h.listen();
  h.in("S 0:0(0) win 8192 <mss 1460>");
  h.out();
  h.in("R 1:1(0) win 0");
  EXPECT_EQ(h.state_block->connections.in_use(), 0U);
  EXPECT_EQ(h.state_block->listeners[h.listener].handshaking, 0U);
}

TEST(SynReceived, DataWithTheAck_IsReceived) {
  Harness h;
  h.listen();
  h.in("S 0:0(0) win 8192 <mss 1460>");
  h.out();
  h.in("P. 1:11(10) ack 1 win 8192");
  h.accept();
  EXPECT_EQ(h.read(100), 10U);
}

TEST(Listen, BacklogFull_DropsSyn) {
  Harness h;
  h.listen(0);
  h.in("S 0:0(0) win 8192 <mss 1460>");
  h.out();
  h.in(". 1:1(0) ack 1 win 8192");
  EXPECT_EQ(h.state_block->listeners[h.listener].ready, 1U);
  h.remote.port = 4001;
  wire::TcpHeader syn;
  syn.src_port = 4001;
  syn.dst_port = Harness::kLocalPort;
  syn.flags = {wire::TcpFlags::kSyn};
  std::array<std::byte, 20> bytes;
  syn.emit(bytes.data());
  Segment s;
  s.data = bytes.data();
  s.length = 20;
  h.tcp.on_syn(h.listener, s, Harness::kPath, h.now);
  EXPECT_EQ(h.out(), "");
  EXPECT_EQ(h.tcp.counters().get(Counter::kDropBacklog), 1U);
}

TEST(Listen, MoreExactAddress_Wins) {
  Harness h;
  const auto listen = [&](const base::IpAddress& a, bool v6_only = false) {
    return h.tcp.listen({a, 8080}, 5, 1, {}, v6_only).index;
  };
  const auto find = [&](const char* text) {
    return h.tcp.find_listener({*base::parse_ip(text), 8080});
  };
  const std::uint32_t any6 = listen(base::IpAddress::any_v6());
  EXPECT_EQ(find("10.0.0.1"), any6);
  EXPECT_EQ(find("fd00::1"), any6);
  const std::uint32_t any4 = listen(base::IpAddress::any_v4());
  EXPECT_EQ(find("10.0.0.1"), any4);
  const std::uint32_t one = listen(base::IpAddress::v4(10, 0, 0, 1));
  EXPECT_EQ(find("10.0.0.1"), one);
  EXPECT_EQ(find("10.0.0.2"), any4);
  EXPECT_EQ(h.tcp.listen({base::IpAddress::any_v4(), 8080}, 5, 1, {}).error, EADDRINUSE);
  h.tcp.close_listener(any4, h.now);
  h.tcp.close_listener(any6, h.now);
  const std::uint32_t only6 = listen(base::IpAddress::any_v6(), true);
  EXPECT_EQ(find("10.0.0.2"), 0U);
  EXPECT_EQ(find("fd00::1"), only6);
}

TEST(Listen, Closed_ResetsWhatWasNotAccepted) {
  Harness h;
  h.listen();
  h.in("S 0:0(0) win 8192 <mss 1460>");
  h.out();
  h.in(". 1:1(0) ack 1 win 8192");
  h.tcp.close_listener(h.listener, h.now);
  EXPECT_EQ(h.out(), "R. 1:1(0) ack 1");
}

TEST(Connect, SamePairTwice_IsRefused) {
  Harness h;
  h.connect();
  EXPECT_EQ(h.tcp.connect(h.local, h.remote, Harness::kPath, 1, {}, h.now).error, EADDRINUSE);
}

TEST(Connect, PathIsPending_SynWaits) {
  HarnessOptions o;
  o.path_flags = port::kPathPending;
  Harness h(o);
  h.connect();
  EXPECT_EQ(h.out(), "");
  EXPECT_TRUE(h.tcp.blocked());
  h.paths[1].flags = 0;
  EXPECT_EQ(h.out(), "S 0:0(0) win 65535 <mss 1460,sackOK,TS 0 0,wscale 4>");
}

TEST(Connect, PathFails_UserIsTold) {
  Harness h;
  h.connect();
  h.tcp.path_failed(Harness::kPath, EHOSTUNREACH, h.now);
  EXPECT_EQ(h.tcp.error(h.c), EHOSTUNREACH);
  h.tcp.close(h.c, h.now);
}

TEST(Connect, IcmpUnreachable_EndsItOnlyIfTheNumberIsInFlight) {
  Harness h;
  h.connect();
  h.out();
  h.tcp.on_icmp_error(h.c, h.conn().iss + 1, EHOSTUNREACH, h.now);
  EXPECT_EQ(h.state(), State::kSynSent);
  h.tcp.on_icmp_error(h.c, h.conn().iss, EHOSTUNREACH, h.now);
  EXPECT_EQ(h.tcp.error(h.c), EHOSTUNREACH);
  h.tcp.close(h.c, h.now);
}

TEST(Connect, InitialSequences_DifferBetweenPairsAndFollowTheClock) {
  Harness h;
  h.state_block->secret = {1, 2};
  h.connect();
  const base::SeqNum first = h.conn().iss;
  h.remote.port = 4001;
  h.connect();
  EXPECT_NE(h.conn().iss, first);
  h.tcp.abort_all(h.now);
  h.out();
  h.advance(Duration::milliseconds(4));
  h.remote.port = 4000;
  h.connect();
  EXPECT_EQ(h.conn().iss - first, 1000);  // RFC 6528: a clock of 4 us
}

}  // namespace
}  // namespace ringway::tcp
