// Closing: RFC 9293, 3.6, 3.10.4, 3.10.5 and what the states after ESTABLISHED do with segments.

#include <sys/epoll.h>

#include <cerrno>

#include "tcp/harness.h"
#include "tcp/limits.h"

namespace ringway::tcp {
namespace {

TEST(Close, Active_PassesAllStates) {
  Harness h;
  h.establish();
  h.tcp.shutdown_write(h.c, h.now);
  EXPECT_EQ(h.state(), State::kFinWait1);
  EXPECT_EQ(h.out(), "F. 1:1(0) ack 1 win 65535");
  EXPECT_EQ(h.write(1).error, EPIPE);
  h.in(". 1:1(0) ack 2 win 65535");
  EXPECT_EQ(h.state(), State::kFinWait2);
  h.in("P. 1:11(10) ack 2 win 65535");  // the other direction is still open
  EXPECT_EQ(h.read(100), 10U);
  h.out();
  h.in("F. 11:11(0) ack 2 win 65534");
  EXPECT_EQ(h.state(), State::kTimeWait);
  EXPECT_EQ(h.out(), ". 2:2(0) ack 12 win 65524");
  h.tcp.close(h.c, h.now);
  h.events();
  h.advance(kTimeWait - base::Duration::milliseconds(1));
  EXPECT_EQ(h.state_block->connections.in_use(), 1U);
  h.advance_ms(1);
  EXPECT_EQ(h.state_block->connections.in_use(), 0U);
}

TEST(Close, Passive_PassesAllStates) {
  Harness h;
  h.establish();
  h.in("F. 1:1(0) ack 1 win 65535");
  EXPECT_EQ(h.state(), State::kCloseWait);
  EXPECT_EQ(h.events(), static_cast<std::uint32_t>(EPOLLIN | EPOLLRDHUP));
  EXPECT_EQ(h.out(), ". 1:1(0) ack 2 win 65534");
  h.write(10);
  EXPECT_EQ(h.out(), "P. 1:11(10) ack 2 win 65534");
  h.tcp.close(h.c, h.now);
  EXPECT_EQ(h.out(), "F. 11:11(0) ack 2 win 65534");
  EXPECT_EQ(h.state(), State::kLastAck);
  h.in(". 2:2(0) ack 12 win 65535");
  EXPECT_EQ(h.state_block->connections.in_use(), 0U);
}

TEST(Close, Simultaneous_GoesThroughClosing) {
  Harness h;
  h.establish();
  h.tcp.close(h.c, h.now);
  EXPECT_EQ(h.out(), "F. 1:1(0) ack 1 win 65535");
  h.in("F. 1:1(0) ack 1 win 65535");
  EXPECT_EQ(h.state(), State::kClosing);
  EXPECT_EQ(h.out(), ". 2:2(0) ack 2 win 65534");
  h.in(". 2:2(0) ack 2 win 65535");
  EXPECT_EQ(h.state(), State::kTimeWait);
}

TEST(Close, FinThatAcknowledgesOurs_SkipsFinWait2) {
  Harness h;
  h.establish();
  h.tcp.close(h.c, h.now);
  h.out();
  h.in("F. 1:1(0) ack 2 win 65535");
  EXPECT_EQ(h.state(), State::kTimeWait);
}

TEST(Close, DataFirst_FinRidesOnTheLastSegment) {
  Harness h;
  h.establish("mss 1000");
  h.in(". 1:1(0) ack 1 win 0");
  h.write(1500);
  h.tcp.close(h.c, h.now);
  EXPECT_EQ(h.out(), "");
  h.in(". 1:1(0) ack 1 win 65535");
  EXPECT_EQ(h.out(), ". 1:1001(1000) ack 1 win 65535\nFP. 1001:1501(500) ack 1 win 65535");
}

TEST(Close, FinLost_IsSentAgain) {
  Harness h;
  h.establish();
  h.tcp.close(h.c, h.now);
  h.out();
  h.advance_ms(200);
  EXPECT_EQ(h.out(), "F. 1:1(0) ack 1 win 65535");
}

TEST(Close, DataAndFinLost_AreSentAgainTogether) {
  Harness h;
  h.establish("mss 1000");
  h.write(10);
  h.tcp.close(h.c, h.now);
  h.out();
  h.advance_ms(200);
  EXPECT_EQ(h.out(), "FP. 1:11(10) ack 1 win 65535");
  h.in(". 1:1(0) ack 12 win 65535");
  EXPECT_EQ(h.state(), State::kFinWait2);
}

TEST(Close, UnreadData_SendsReset) {
  Harness h;
  h.establish();
  h.in("P. 1:11(10) ack 1 win 65535");
  h.out();
  h.tcp.close(h.c, h.now);
  EXPECT_EQ(h.out(), "R. 1:1(0) ack 11");
  h.events();
  EXPECT_EQ(h.state_block->connections.in_use(), 0U);
}

TEST(Close, LingerZero_SendsReset) {
  HarnessOptions o;
  o.tcp.linger = true;
  o.tcp.linger_s = 0;
  Harness h(o);
  h.establish();
  h.tcp.close(h.c, h.now);
  EXPECT_EQ(h.out(), "R. 1:1(0) ack 1");
}

TEST(Close, DataForNobody_IsReset) {
  Harness h;
  h.establish();
  h.tcp.close(h.c, h.now);
  h.out();
  h.in("P. 1:11(10) ack 2 win 65535");
  EXPECT_EQ(h.out(), "R. 2:2(0) ack 1");
  EXPECT_EQ(h.state_block->connections.in_use(), 0U);
}

TEST(Close, OrphanInFinWait2_EndsAfterAMinute) {
  Harness h;
  h.establish();
  h.tcp.close(h.c, h.now);
  h.out();
  h.in(". 1:1(0) ack 2 win 65535");
  EXPECT_EQ(h.state(), State::kFinWait2);
  h.advance(kFinWait2);
  EXPECT_EQ(h.state_block->connections.in_use(), 0U);
}

TEST(Close, InSynSent_IsSilent) {
  Harness h;
  h.connect();
  h.out();
  h.tcp.close(h.c, h.now);
  EXPECT_EQ(h.out(), "");
  EXPECT_EQ(h.state_block->connections.in_use(), 0U);
}

TEST(TimeWait, FinAgain_IsAcknowledgedAndStartsTheTimeAgain) {
  Harness h;
  h.establish();
  h.tcp.close(h.c, h.now);
  h.out();
  h.in("F. 1:1(0) ack 2 win 65535");
  h.out();
  h.advance(base::Duration::seconds(50));
  h.in("F. 1:1(0) ack 2 win 65535");
  EXPECT_EQ(h.out(), ". 2:2(0) ack 2 win 65534");
  h.advance(base::Duration::seconds(50));
  EXPECT_EQ(h.state_block->connections.in_use(), 1U);
  h.advance(base::Duration::seconds(10));
  EXPECT_EQ(h.state_block->connections.in_use(), 0U);
}

TEST(TimeWait, NewerSyn_OpensAgain) {
  Harness h;
  h.establish("mss 1460,TS 100 0");
  h.tcp.close(h.c, h.now);
  h.out();
  h.in("F. 1:1(0) ack 2 win 65535 <TS 100 1>");
  h.out();
  EXPECT_EQ(h.state(), State::kTimeWait);
  h.in("S 500:500(0) win 65535 <mss 1460,TS 101 0>");
  EXPECT_EQ(h.state(), State::kSynReceived);
}

TEST(TimeWait, OlderSyn_IsAnsweredOnly) {
  Harness h;
  h.establish("mss 1460,TS 100 0");
  h.tcp.close(h.c, h.now);
  h.out();
  h.in("F. 1:1(0) ack 2 win 65535 <TS 100 1>");
  h.out();
  h.in("S 0:0(0) win 65535 <mss 1460,TS 99 0>");
  EXPECT_EQ(h.state(), State::kTimeWait);
  EXPECT_NE(h.out(), "");
}

TEST(Reset, ReceivedDataStaysReadable) {
  Harness h;
  h.establish();
  h.in("P. 1:11(10) ack 1 win 65535");
  h.in("R 11:11(0) win 0");
  EXPECT_EQ(h.read(100), 10U);
  std::byte b{};
  const iovec v{&b, 1};
  EXPECT_EQ(h.tcp.recv(h.c, {&v, 1}, false, h.now).error, ECONNRESET);
  EXPECT_EQ(h.tcp.recv(h.c, {&v, 1}, false, h.now).error, 0);
  h.tcp.close(h.c, h.now);
}

TEST(Reset, BeforeAccept_IsSeenByTheAcceptor) {
  Harness h;
  h.listen();
  h.in("S 0:0(0) win 65535 <mss 1460>");
  h.out();
  h.in(". 1:1(0) ack 1 win 65535");
  h.in("R 1:1(0) win 0");
  h.accept();
  EXPECT_NE(h.tcp.readiness(h.c) & EPOLLHUP, 0U);
  EXPECT_EQ(h.tcp.error(h.c), ECONNRESET);
  h.tcp.close(h.c, h.now);
}

TEST(ShutdownRead, GivesTheEndAndDropsWhatComes) {
  Harness h;
  h.establish();
  h.tcp.shutdown_read(h.c);
  EXPECT_EQ(h.read(10), 0U);
  h.in("P. 1:11(10) ack 1 win 65535");
  EXPECT_EQ(h.out(), ". 1:1(0) ack 11 win 65525");
  EXPECT_EQ(h.conn().rx.bytes, 0U);
}

TEST(AbortAll, ResetsEverything) {
  Harness h;
  h.establish();
  h.tcp.abort_all(h.now);
  EXPECT_EQ(h.out(), "R. 1:1(0) ack 1");
  EXPECT_EQ(h.state_block->connections.in_use(), 0U);
}

TEST(Abort, RingFull_ResetWaitsForRoom) {
  HarnessOptions o;
  o.path_flags = port::kPathReliable | port::kPathTxChecksum;
  Harness h(o);
  h.establish("mss 1460,wscale 7");
  h.port->room = 0;
  while (h.write(100).error == 0) {
  }
  h.tcp.abort(h.c, h.now);
  EXPECT_EQ(h.out().find('R'), std::string::npos);
  EXPECT_EQ(h.state_block->connections.in_use(), 1U);
  h.port->room = SIZE_MAX;
  h.batch->flush();
  EXPECT_NE(h.out().find("R. "), std::string::npos);
  EXPECT_EQ(h.state_block->connections.in_use(), 0U);
}

}  // namespace
}  // namespace ringway::tcp
