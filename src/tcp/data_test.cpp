// Text in order: RFC 9293, 3.8 and 3.10.7.4; RFC 1122, 4.2; RFC 7323.

#include <sys/epoll.h>

#include <cerrno>

#include "tcp/harness.h"
#include "tcp/limits.h"

namespace ringway::tcp {
namespace {

TEST(Established, Data_IsSegmentedByMss) {
  HarnessOptions o;
  o.tcp.no_delay = true;
  Harness h(o);
  h.establish("mss 1000");
  EXPECT_EQ(h.write(2500).bytes, 2500U);
  EXPECT_EQ(h.out(),
            ". 1:1001(1000) ack 1 win 65535\n"
            ". 1001:2001(1000) ack 1 win 65535\n"
            "P. 2001:2501(500) ack 1 win 65535");
}

TEST(Established, Gso_SendsOneFrameOfManySegments) {
  HarnessOptions o;
  o.path_flags = port::kPathGso | port::kPathTxChecksum;
  o.max_frame = 65'000;
  Harness h(o);
  h.establish("mss 1000");
  EXPECT_EQ(h.write(9'000).bytes, 9'000U);
  EXPECT_EQ(h.out(), "P. 1:9001(9000) ack 1 win 65535 gso 1000");
}

TEST(Established, Nagle_HoldsASmallSegmentWhileOneIsInFlight) {
  Harness h;
  h.establish();
  h.write(10);
  EXPECT_EQ(h.out(), "P. 1:11(10) ack 1 win 65535");
  h.write(10);
  h.write(10);
  EXPECT_EQ(h.out(), "");
  h.in(". 1:1(0) ack 11 win 65535");
  EXPECT_EQ(h.out(), "P. 11:31(20) ack 1 win 65535");
}

TEST(Established, NoDelay_SendsSmallSegmentsAtOnce) {
  HarnessOptions o;
  o.tcp.no_delay = true;
  Harness h(o);
  h.establish();
  h.write(10);
  h.write(10);
  EXPECT_EQ(h.out(), "P. 1:11(10) ack 1 win 65535\nP. 11:21(10) ack 1 win 65535");
}

TEST(Established, Cork_HoldsUntilUncorkedOr200Milliseconds) {
  HarnessOptions o;
  o.tcp.cork = true;
  Harness h(o);
  h.establish("mss 1000");
  h.write(1500);
  EXPECT_EQ(h.out(), ". 1:1001(1000) ack 1 win 65535");
  h.in(". 1:1(0) ack 1001 win 65535");
  EXPECT_EQ(h.out(), "");
  h.advance_ms(199);
  EXPECT_EQ(h.out(), "");
  h.advance_ms(1);
  EXPECT_EQ(h.out(), "P. 1001:1501(500) ack 1 win 65535");
  h.in(". 1:1(0) ack 1501 win 65535");
  h.write(7);
  EXPECT_EQ(h.out(), "");
  Options uncorked = o.tcp;
  uncorked.cork = false;
  h.tcp.set_options(h.c, uncorked, h.now);
  EXPECT_EQ(h.out(), "P. 1501:1508(7) ack 1 win 65535");
}

TEST(Established, DelayedAck_EverySecondFullSegmentOr40Milliseconds) {
  Harness h;
  h.establish("mss 1000");
  h.conn().flags &= ~kQuickAck;
  h.conn().rcv_mss = 1000;
  h.in(". 1:1001(1000) ack 1 win 65535");
  EXPECT_EQ(h.out(), "");
  h.in(". 1001:2001(1000) ack 1 win 65535");
  EXPECT_EQ(h.read(5000), 2000U);
  EXPECT_EQ(h.out(), ". 1:1(0) ack 2001 win 65535");
  h.in(". 2001:2101(100) ack 1 win 65535");
  EXPECT_EQ(h.out(), "");
  h.advance_ms(39);
  EXPECT_EQ(h.out(), "");
  h.advance_ms(1);
  EXPECT_EQ(h.out(), ". 1:1(0) ack 2101 win 65435");
}

TEST(Established, DelayedAck_RidesOnData) {
  Harness h;
  h.establish();
  h.conn().flags &= ~kQuickAck;
  h.in("P. 1:11(10) ack 1 win 65535");
  h.write(5);
  EXPECT_EQ(h.out(), "P. 1:6(5) ack 11 win 65525");
  h.advance_ms(100);
  EXPECT_EQ(h.out(), "");
}

TEST(Established, QuickAck_AtTheStartOfAStream) {
  Harness h;
  h.establish();
  for (int i = 0; i < kQuickAcks; ++i) {
    h.in("P. " + std::to_string(1 + i * 10) + ":" + std::to_string(11 + i * 10) +
         "(10) ack 1 win 65535");
    EXPECT_NE(h.out(), "") << i;
  }
}

TEST(Established, ReceiveWindowFull_ThenOpensInSteps) {
  HarnessOptions o;
  o.tcp.receive_buffer_bytes = 4000;
  Harness h(o);
  h.establish("mss 1000");
  h.conn().flags &= ~kQuickAck;
  for (int i = 0; i < 4; ++i) {
    h.in(". " + std::to_string(1 + i * 1000) + ":" + std::to_string(1001 + i * 1000) +
         "(1000) ack 1 win 65535");
  }
  EXPECT_EQ(h.out(), ". 1:1(0) ack 4001 win 0");
  h.in(". 4001:4002(1) ack 1 win 65535");  // a probe
  EXPECT_EQ(h.out(), ". 1:1(0) ack 4001 win 0");
  EXPECT_EQ(h.read(500), 500U);
  EXPECT_EQ(h.out(), "");  // silly window avoidance
  EXPECT_EQ(h.read(1000), 1000U);
  EXPECT_EQ(h.out(), ". 1:1(0) ack 4001 win 1500");
}

TEST(Established, PeerWindowClosed_IsProbedWithBackoff) {
  Harness h;
  h.establish("mss 1000");
  h.in(". 1:1(0) ack 1 win 0");
  EXPECT_EQ(h.write(1500).bytes, 1500U);
  EXPECT_EQ(h.out(), "");
  for (const std::int64_t wait : {200, 400, 800}) {
    h.advance_ms(wait - 1);
    EXPECT_EQ(h.out(), "");
    h.advance_ms(1);
    EXPECT_EQ(h.out(), ". 0:0(0) ack 1 win 65535");
    h.in(". 1:1(0) ack 1 win 0");
  }
  h.in(". 1:1(0) ack 1 win 1000");
  EXPECT_EQ(h.out(), ". 1:1001(1000) ack 1 win 65535");
}

TEST(Established, PeerWindowSmall_WaitsForTheOverrideTimer) {
  Harness h;
  h.establish("mss 1000");
  h.in(". 1:1(0) ack 1 win 100");
  h.write(1500);
  EXPECT_EQ(h.out(), "");  // sender's silly window avoidance
  h.advance_ms(200);
  EXPECT_EQ(h.out(), ". 1:101(100) ack 1 win 65535");
}

TEST(Established, SendBufferFull_TellsWhenAThirdIsFree) {
  HarnessOptions o;
  o.tcp.send_buffer_bytes = 3000;
  Harness h(o);
  h.establish("mss 1000");
  EXPECT_EQ(h.write(5000).bytes, 3000U);
  EXPECT_EQ(h.write(1).error, EAGAIN);
  h.out();
  h.events();
  h.in(". 1:1(0) ack 501 win 65535");
  EXPECT_EQ(h.events(), 0U);
  EXPECT_EQ(h.tcp.readiness(h.c) & EPOLLOUT, 0U);
  h.in(". 1:1(0) ack 1001 win 65535");
  EXPECT_EQ(h.events(), static_cast<std::uint32_t>(EPOLLOUT));
}

TEST(Established, SequenceOutsideTheWindow_IsAnsweredNotTaken) {
  Harness h;
  h.establish();
  h.in("P. 100001:100011(10) ack 1 win 65535");
  EXPECT_EQ(h.out(), ". 1:1(0) ack 1 win 65535");
  EXPECT_EQ(h.read(100), 0U);
  h.in("P. 1:11(10) ack 1 win 65535");
  h.out();
  h.in("P. 1:11(10) ack 1 win 65535");  // the same again
  EXPECT_EQ(h.out(), ". 1:1(0) ack 11 win 65525");
  EXPECT_EQ(h.read(100), 10U);
}

TEST(Established, PartlyOldSegment_GivesItsNewPart) {
  Harness h;
  h.establish();
  h.in("P. 1:11(10) ack 1 win 65535");
  h.in("P. 6:21(15) ack 1 win 65535");
  EXPECT_EQ(h.read(100), 20U);
}

TEST(Established, SegmentBeyondTheWindow_IsCut) {
  HarnessOptions o;
  o.tcp.receive_buffer_bytes = 2048;
  Harness h(o);
  h.establish();
  h.in("P. 1:3001(3000) ack 1 win 65535");
  EXPECT_EQ(h.read(5000), 2048U);
}

TEST(Established, AckOfWhatWasNeverSent_IsChallenged) {
  Harness h;
  h.establish();
  h.in(". 1:1(0) ack 2 win 65535");
  EXPECT_EQ(h.out(), ". 1:1(0) ack 1 win 65535");
  EXPECT_EQ(h.state(), State::kEstablished);
}

TEST(Established, SynInTheWindow_IsChallenged) {
  Harness h;
  h.establish();
  h.in("S 1:1(0) win 65535 <mss 1460>");
  EXPECT_EQ(h.out(), ". 1:1(0) ack 1 win 65535");
  EXPECT_EQ(h.state(), State::kEstablished);
}

TEST(Established, ResetInTheWindowButNotNext_IsChallenged) {
  Harness h;
  h.establish();
  h.in("R 2:2(0) win 0");
  EXPECT_EQ(h.out(), ". 1:1(0) ack 1 win 65535");
  h.in("R 100001:100001(0) win 0");
  EXPECT_EQ(h.out(), "");
  h.in("R 1:1(0) win 0");
  EXPECT_EQ(h.state(), State::kClosed);
  EXPECT_EQ(h.write(1).error, ECONNRESET);
  EXPECT_EQ(h.write(1).error, EPIPE);
  h.tcp.close(h.c, h.now);
}

TEST(Established, ChallengeAcks_AreLimited) {
  Harness h;
  h.establish();
  for (std::uint32_t i = 0; i < kChallengesPerSecond; ++i) {
    h.in("S 1:1(0) win 65535");
    EXPECT_NE(h.out(), "");
  }
  h.in("S 1:1(0) win 65535");
  EXPECT_EQ(h.out(), "");
  h.advance_ms(1001);
  h.in("S 1:1(0) win 65535");
  EXPECT_NE(h.out(), "");
}

TEST(Established, NoAckBit_IsDropped) {
  Harness h;
  h.establish();
  h.in("P 1:11(10) win 65535");
  EXPECT_EQ(h.conn().rx.bytes, 0U);
  EXPECT_EQ(h.tcp.counters().get(Counter::kDropBadFlags), 1U);
}

TEST(Timestamps, OldOne_IsDroppedAndAnswered) {
  Harness h;
  h.establish("mss 1460,TS 100 0");
  h.in("P. 1:11(10) ack 1 win 65535 <TS 200 1>");
  h.out();
  h.in("P. 11:21(10) ack 1 win 65535 <TS 150 1>");
  EXPECT_NE(h.out(), "");
  EXPECT_EQ(h.tcp.counters().get(Counter::kDropPaws), 1U);
  EXPECT_EQ(h.read(100), 10U);
}

TEST(Timestamps, EchoFollowsTheSegmentThatAdvances) {
  Harness h;
  h.establish("mss 1460,TS 100 0");
  h.in("P. 1:11(10) ack 1 win 65535 <TS 200 1>");
  EXPECT_EQ(h.out(), ". 1:1(0) ack 11 win 65525 <TS 0 200>");
  h.in("P. 21:31(10) ack 1 win 65535 <TS 300 1>");  // a hole: RFC 7323, 4.3, (B)
  EXPECT_EQ(h.out(), ". 1:1(0) ack 11 win 65525 <TS 0 200>");
}

TEST(Keepalive, ProbesAnIdlePeer_ThenGivesUp) {
  HarnessOptions o;
  o.tcp.keepalive = true;
  o.tcp.keepalive_idle_s = 10;
  o.tcp.keepalive_interval_s = 2;
  o.tcp.keepalive_count = 3;
  Harness h(o);
  h.establish();
  h.advance_ms(9'999);
  EXPECT_EQ(h.out(), "");
  h.advance_ms(1);
  EXPECT_EQ(h.out(), ". 0:0(0) ack 1 win 65535");
  h.in(". 1:1(0) ack 1 win 65535");  // it lives
  h.advance_ms(2'000);
  EXPECT_EQ(h.out(), "");
  h.advance_ms(8'000);
  EXPECT_EQ(h.out(), ". 0:0(0) ack 1 win 65535");
  h.advance_ms(2'000);
  EXPECT_EQ(h.out(), ". 0:0(0) ack 1 win 65535");
  h.advance_ms(2'000);
  EXPECT_EQ(h.out(), ". 0:0(0) ack 1 win 65535");
  h.advance_ms(2'000);
  EXPECT_EQ(h.out(), "R. 1:1(0) ack 1");
  EXPECT_EQ(h.tcp.error(h.c), ETIMEDOUT);
  h.tcp.close(h.c, h.now);
}

TEST(UserTimeout, UnacknowledgedData_EndsTheConnection) {
  HarnessOptions o;
  o.tcp.user_timeout_ms = 1500;
  Harness h(o);
  h.establish();
  h.write(10);
  h.out();
  for (int i = 0; i < 40; ++i) {
    h.advance_ms(100);
    h.out();
  }
  EXPECT_EQ(h.state(), State::kClosed);
  EXPECT_EQ(h.tcp.error(h.c), ETIMEDOUT);
  h.tcp.close(h.c, h.now);
}

TEST(Loan, GivesTheReceivedFrame_AndKeepsItUntilReturned) {
  Harness h;
  h.establish();
  const std::uint32_t before = h.pool.free_count();
  h.in("P. 1:1001(1000) ack 1 win 65535");
  const auto loan = h.tcp.recv_loan(h.c, h.now);
  ASSERT_EQ(loan.length, 1000U);
  EXPECT_EQ(loan.data[0], Harness::pattern(1));
  EXPECT_EQ(h.tcp.readable_bytes(h.c), 0U);
  EXPECT_EQ(h.pool.free_count(), before - 1);
  h.tcp.return_loan(loan);
  EXPECT_EQ(h.pool.free_count(), before);
}

}  // namespace
}  // namespace ringway::tcp
