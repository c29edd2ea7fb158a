// Loss and its repair: RFC 6298, RFC 5681, RFC 6582, RFC 6675, RFC 2018.

#include <sys/epoll.h>

#include "tcp/harness.h"
#include "tcp/limits.h"

namespace ringway::tcp {
namespace {

constexpr std::string_view kSack = "mss 1000,sackOK";

/// `count` segments of 1000 bytes in flight, the first at 1.
void send_segments(Harness& h, int count) {
  ASSERT_EQ(h.write(static_cast<std::size_t>(count) * 1000).bytes,
            static_cast<std::uint32_t>(count) * 1000);
  h.out();
}

TEST(Rto, FirstUnacknowledgedSegment_IsSentAgainWithBackoff) {
  Harness h;
  h.establish("mss 1000");
  send_segments(h, 3);
  std::int64_t wait = 200;  // the handshake took no time, so RTO is at its least
  for (int i = 0; i < 3; ++i, wait *= 2) {
    h.advance_ms(wait - 1);
    EXPECT_EQ(h.out(), "");
    h.advance_ms(1);
    EXPECT_EQ(h.out(), ". 1:1001(1000) ack 1 win 65535");
  }
  EXPECT_EQ(h.conn().congestion.cwnd, 1000U);
}

TEST(Rto, AckAfterTimeout_SlowStartsThroughTheRest) {
  Harness h;
  h.establish("mss 1000");
  send_segments(h, 4);
  h.advance_ms(200);
  EXPECT_EQ(h.out(), ". 1:1001(1000) ack 1 win 65535");
  h.in(". 1:1(0) ack 1001 win 65535");
  EXPECT_EQ(h.out(),
            ". 1001:2001(1000) ack 1 win 65535\n"
            ". 2001:3001(1000) ack 1 win 65535");
  h.in(". 1:1(0) ack 4001 win 65535");
  EXPECT_EQ(h.out(), "");
  EXPECT_EQ(h.conn().recovery, Recovery::kOpen);
}

TEST(Rto, Measured_FromTheTimedSegment) {
  Harness h;
  h.establish("mss 1000");
  send_segments(h, 1);
  h.advance_ms(100);
  h.in(". 1:1(0) ack 1001 win 65535");
  // SRTT after a first sample of about 0 (the handshake): RFC 6298 (2.3).
  EXPECT_NEAR(h.conn().srtt_us, 12'500, 10);
  EXPECT_NEAR(h.conn().rttvar_us, 25'000, 10);
  EXPECT_EQ(h.conn().rto_us, 200'000U);
}

TEST(Rto, RetransmittedSegment_IsNotMeasured) {
  Harness h;
  h.establish("mss 1000");
  send_segments(h, 1);
  h.advance_ms(200);
  h.out();
  const std::uint32_t srtt = h.conn().srtt_us;
  h.advance_ms(50);
  h.in(". 1:1(0) ack 1001 win 65535");
  EXPECT_EQ(h.conn().srtt_us, srtt);  // Karn
}

TEST(Rto, GivesUpAfterManyTries) {
  Harness h;
  h.establish("mss 1000");
  send_segments(h, 1);
  for (int i = 0; i < 1000 && h.state() != State::kClosed; ++i) {
    h.advance_ms(1000);
    h.out();
  }
  EXPECT_EQ(h.tcp.error(h.c), ETIMEDOUT);
  EXPECT_EQ(h.conn().timeouts, kDataRetries);
  h.tcp.close(h.c, h.now);
}

TEST(FastRetransmit, ThirdDuplicateAck_SendsTheHole) {
  Harness h;
  h.establish("mss 1000");
  send_segments(h, 8);
  for (int i = 0; i < 2; ++i) {
    h.in(". 1:1(0) ack 1 win 65535");
    EXPECT_EQ(h.out(), "");
  }
  h.in(". 1:1(0) ack 1 win 65535");
  EXPECT_EQ(h.out(), ". 1:1001(1000) ack 1 win 65535");
  EXPECT_EQ(h.conn().recovery, Recovery::kFast);
  EXPECT_EQ(h.conn().congestion.ssthresh, 5600U);  // CUBIC: 0.7 of 8000
  h.in(". 1:1(0) ack 8001 win 65535");
  EXPECT_EQ(h.conn().recovery, Recovery::kOpen);
  EXPECT_EQ(h.conn().congestion.cwnd, 5600U);
}

TEST(FastRetransmit, Reno_HalvesTheWindow) {
  HarnessOptions o;
  o.tcp.congestion = Congestion::kReno;
  Harness h(o);
  h.establish("mss 1000");
  send_segments(h, 8);
  for (int i = 0; i < 3; ++i) h.in(". 1:1(0) ack 1 win 65535");
  EXPECT_EQ(h.out(), ". 1:1001(1000) ack 1 win 65535");
  EXPECT_EQ(h.conn().congestion.ssthresh, 4000U);
}

TEST(NewReno, PartialAck_SendsTheNextHole) {
  Harness h;
  h.establish("mss 1000");
  send_segments(h, 8);
  for (int i = 0; i < 3; ++i) h.in(". 1:1(0) ack 1 win 65535");
  h.out();
  h.in(". 1:1(0) ack 4001 win 65535");
  EXPECT_EQ(h.out(), ". 4001:5001(1000) ack 1 win 65535");
  EXPECT_EQ(h.conn().recovery, Recovery::kFast);
  h.in(". 1:1(0) ack 8001 win 65535");
  EXPECT_EQ(h.conn().recovery, Recovery::kOpen);
}

TEST(LimitedTransmit, DuplicateAcks_LetNewSegmentsOut) {
  Harness h;
  h.establish("mss 1000");
  send_segments(h, 10);  // fills the initial window
  h.write(3000);
  EXPECT_EQ(h.out(), "");
  h.in(". 1:1(0) ack 1 win 65535");
  EXPECT_EQ(h.out(), ". 10001:11001(1000) ack 1 win 65535");
  h.in(". 1:1(0) ack 1 win 65535");
  EXPECT_EQ(h.out(), ". 11001:12001(1000) ack 1 win 65535");
}

TEST(Sack, SendsOnlyTheHoles) {
  Harness h;
  h.establish(kSack);
  send_segments(h, 10);
  // 1 and 4 are lost.
  h.in(". 1:1(0) ack 1 win 65535 <sack 1001:2001>");
  EXPECT_EQ(h.out(), "");
  h.in(". 1:1(0) ack 1 win 65535 <sack 1001:3001>");
  EXPECT_EQ(h.out(), "");
  h.in(". 1:1(0) ack 1 win 65535 <sack 4001:5001,sack 1001:3001>");
  EXPECT_EQ(h.out(), ". 1:1001(1000) ack 1 win 65535");
  h.in(". 1:1(0) ack 1 win 65535 <sack 4001:7001,sack 1001:3001>");
  EXPECT_EQ(h.out(), ". 3001:4001(1000) ack 1 win 65535");
  h.in(". 1:1(0) ack 3001 win 65535 <sack 4001:10001>");
  EXPECT_EQ(h.out(), "");
  h.in(". 1:1(0) ack 10001 win 65535");
  EXPECT_EQ(h.conn().recovery, Recovery::kOpen);
  EXPECT_EQ(h.conn().retransmits, 2U);
  EXPECT_EQ(h.conn().sack_frame, 0U);
}

TEST(Sack, ThreeSegmentsAbove_AreEnoughInOneAck) {
  Harness h;
  h.establish(kSack);
  send_segments(h, 6);
  h.in(". 1:1(0) ack 1 win 65535 <sack 1001:6001>");
  EXPECT_EQ(h.out(), ". 1:1001(1000) ack 1 win 65535");
}

TEST(Sack, Nonsense_IsIgnored) {
  Harness h;
  h.establish(kSack);
  send_segments(h, 3);
  h.in(". 1:1(0) ack 1 win 65535 <sack 2001:1001,sack 1001:900000>");
  EXPECT_EQ(h.conn().sack_frame, 0U);
}

TEST(Sack, PeerReneges_TimeoutSendsAll) {
  Harness h;
  h.establish(kSack);
  send_segments(h, 4);
  h.in(". 1:1(0) ack 1 win 65535 <sack 1001:2001>");
  h.in(". 1:1(0) ack 1001 win 65535");  // but 1001 it had: it must have dropped it
  h.advance_ms(200);
  EXPECT_EQ(h.out(), ". 1001:2001(1000) ack 1 win 65535");
}

TEST(Sack, TimeoutKeepsWhatIsSacked) {
  Harness h;
  h.establish(kSack);
  send_segments(h, 4);
  h.in(". 1:1(0) ack 1 win 65535 <sack 1001:2001>");
  h.out();
  h.advance_ms(200);
  EXPECT_EQ(h.out(), ". 1:1001(1000) ack 1 win 65535");
  h.in(". 1:1(0) ack 2001 win 65535");
  EXPECT_EQ(h.out(),
            ". 2001:3001(1000) ack 1 win 65535\n"
            "P. 3001:4001(1000) ack 1 win 65535");
}

TEST(OutOfOrder, IsKept_AndReportedNewestFirst) {
  Harness h;
  h.establish(kSack);
  h.in(". 2001:3001(1000) ack 1 win 65535");
  EXPECT_EQ(h.out(), ". 1:1(0) ack 1 win 65535 <sack 2001:3001>");
  h.in(". 6001:7001(1000) ack 1 win 65535");
  EXPECT_EQ(h.out(), ". 1:1(0) ack 1 win 65535 <sack 6001:7001 2001:3001>");
  h.in(". 4001:5001(1000) ack 1 win 65535");
  EXPECT_EQ(h.out(), ". 1:1(0) ack 1 win 65535 <sack 4001:5001 6001:7001 2001:3001>");
  h.in(". 1001:2001(1000) ack 1 win 65535");
  EXPECT_EQ(h.out(), ". 1:1(0) ack 1 win 65535 <sack 1001:3001 4001:5001 6001:7001>");
  h.in(". 1:1001(1000) ack 1 win 65535");
  EXPECT_EQ(h.out(), ". 1:1(0) ack 3001 win 65535 <sack 4001:5001 6001:7001>");
  EXPECT_EQ(h.read(10'000), 3000U);
  h.in(". 3001:8001(5000) ack 1 win 65535");  // covers everything that is there
  EXPECT_EQ(h.read(10'000), 5000U);
  EXPECT_EQ(h.conn().ooo_cells, 0U);
}

TEST(OutOfOrder, FinBehindAHole_CountsWhenTheHoleIsFilled) {
  Harness h;
  h.establish(kSack);
  h.in("FP. 11:21(10) ack 1 win 65535");
  EXPECT_EQ(h.state(), State::kEstablished);
  h.in(". 1:11(10) ack 1 win 65535");
  EXPECT_EQ(h.state(), State::kCloseWait);
  EXPECT_EQ(h.out(), ". 1:1(0) ack 22 win 65514");
  EXPECT_EQ(h.read(100), 20U);
}

TEST(OutOfOrder, Overlaps_AreStoredOnce) {
  Harness h;
  h.establish();
  h.in(". 21:31(10) ack 1 win 65535");
  h.in(". 41:51(10) ack 1 win 65535");
  h.in(". 11:61(50) ack 1 win 65535");
  EXPECT_EQ(h.conn().ooo_bytes, 50U);
  h.in(". 26:46(20) ack 1 win 65535");
  EXPECT_EQ(h.conn().ooo_bytes, 50U);
  h.in(". 1:11(10) ack 1 win 65535");
  EXPECT_EQ(h.read(100), 60U);
}

TEST(PathMtu, SmallerOne_ResendsInSmallerSegments) {
  Harness h;
  h.establish("mss 1460");
  h.write(2920);
  h.out();
  h.tcp.on_path_mtu(h.c, h.conn().snd.una + 50'000, 600, h.now);
  EXPECT_EQ(h.conn().mss, 1460U);  // quotes nothing that is in flight
  h.tcp.on_path_mtu(h.c, h.conn().snd.una, 1040, h.now);
  EXPECT_EQ(h.conn().mss, 1000U);
  EXPECT_EQ(h.out(),
            ". 1:1001(1000) ack 1 win 65535\n"
            ". 1001:2001(1000) ack 1 win 65535\n"
            "P. 2001:2921(920) ack 1 win 65535");
}

TEST(SlowStart, DoublesEachRound_AndRestartsAfterIdleness) {
  Harness h;
  h.establish("mss 1000");
  EXPECT_EQ(h.conn().congestion.cwnd, 10'000U);  // RFC 6928
  send_segments(h, 10);
  for (int i = 1; i <= 10; ++i) {
    h.in(". 1:1(0) ack " + std::to_string(1 + i * 1000) + " win 65535");
  }
  // Not to 20000: the window was not in use any more when the last ACKs came (RFC 7661).
  EXPECT_EQ(h.conn().congestion.cwnd, 14'000U);
  h.advance_ms(10'000);
  h.write(1000);
  h.out();
  EXPECT_EQ(h.conn().congestion.cwnd, 10'000U);
}

}  // namespace
}  // namespace ringway::tcp
