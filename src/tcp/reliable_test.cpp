// Paths between two processes of one machine, where taking a frame off the ring is its delivery.

#include <sys/epoll.h>

#include <cerrno>

#include "tcp/harness.h"

namespace ringway::tcp {
namespace {

HarnessOptions reliable() {
  HarnessOptions o;
  o.path_flags = port::kPathReliable | port::kPathGso | port::kPathTxChecksum;
  o.max_frame = 33'280;
  return o;
}

TEST(Reliable, ActiveOpen_OffersScaleButNoTimestampsNorSack) {
  Harness h(reliable());
  h.connect();
  EXPECT_EQ(h.out(), "S 0:0(0) win 65535 <mss 1460,wscale 4>");
  h.in("S. 0:0(0) ack 1 win 65535 <mss 1460,wscale 4>");
  EXPECT_EQ(h.events(), static_cast<std::uint32_t>(EPOLLOUT));
  EXPECT_EQ(h.out(), "");  // the SYN-ACK was delivered by being sent: no third segment
  EXPECT_EQ(h.state(), State::kEstablished);
  EXPECT_TRUE(h.tcp.next_deadline().is_never());
}

TEST(Reliable, PassiveOpen_IsEstablishedByItsAnswer) {
  Harness h(reliable());
  h.listen();
  h.in("S 0:0(0) win 1000 <mss 1460,wscale 4>");
  EXPECT_EQ(h.tcp.accept(h.listener), 0U);
  EXPECT_EQ(h.out(), "S. 0:0(0) ack 1 win 65535 <mss 1460,wscale 4>");
  h.accept();
  EXPECT_EQ(h.state(), State::kEstablished);
  EXPECT_EQ(h.write(5'000).bytes, 1'000U);
  EXPECT_EQ(h.out(), ". 1:1001(1000) ack 1 win 32768");
  h.in("P. 1:11(10) ack 1001 win 100");
  EXPECT_EQ(h.read(100), 10U);
  EXPECT_EQ(h.write(5'000).bytes, 1'600U);
}

TEST(Reliable, ClientGoneMeanwhile_ResetsWhatWasAccepted) {
  Harness h(reliable());
  h.listen();
  h.in("S 0:0(0) win 1000 <mss 1460,wscale 4>");
  h.out();
  h.in("R 1:1(0) win 0");
  h.accept();
  EXPECT_EQ(h.tcp.error(h.c), ECONNRESET);
  h.tcp.close(h.c, h.now);
}

TEST(Reliable, Send_LeavesAtOnceUnsegmented) {
  Harness h(reliable());
  h.establish("mss 1460,wscale 4");
  EXPECT_EQ(h.write(20'000).bytes, 20'000U);
  EXPECT_EQ(h.out(), "P. 1:20001(20000) ack 1 win 32768 gso 1460");
  EXPECT_EQ(h.conn().tx.bytes, 0U);
  EXPECT_TRUE(h.tcp.next_deadline().is_never());
}

TEST(Reliable, Send_StopsAtTheWindow_AndGoesOnAfterTheUpdate) {
  Harness h(reliable());
  h.establish("mss 1460");
  EXPECT_EQ(h.write(100'000).bytes, 65'535U);
  h.out();
  EXPECT_EQ(h.write(10).error, EAGAIN);
  EXPECT_EQ(h.tcp.readiness(h.c) & EPOLLOUT, 0U);
  h.events();
  h.in(". 1:1(0) ack 65536 win 30000");
  EXPECT_EQ(h.events(), static_cast<std::uint32_t>(EPOLLOUT));
  EXPECT_EQ(h.write(100'000).bytes, 30'000U);
  h.out();
}

TEST(Reliable, Send_RingFull_TellsWhenThereIsRoom) {
  Harness h(reliable());
  h.establish("mss 1460,wscale 7");
  h.port->room = 0;
  std::size_t taken = 0;
  for (;;) {
    const Io io = h.write(100);
    if (io.error == EAGAIN) break;
    ASSERT_EQ(io.bytes, 100U);
    ++taken;
  }
  EXPECT_EQ(taken, 256U);
  h.out();
  EXPECT_EQ(h.events() & EPOLLOUT, 0U);
  EXPECT_TRUE(h.tcp.blocked());
  h.port->room = SIZE_MAX;
  h.batch->flush();
  h.out();
  EXPECT_NE(h.events() & EPOLLOUT, 0U);
  EXPECT_FALSE(h.tcp.blocked());
}

TEST(Reliable, Receive_AcknowledgesOnlyByWindowUpdates) {
  Harness h(reliable());
  h.establish("mss 1460,wscale 4");
  h.in("P. 1:101(100) ack 1 win 4096");
  EXPECT_EQ(h.events(), static_cast<std::uint32_t>(EPOLLIN));
  EXPECT_EQ(h.out(), "");
  EXPECT_EQ(h.read(1000), 100U);
  EXPECT_EQ(h.out(), ". 1:1(0) ack 101 win 32768");  // beyond what the SYN's field could say
  h.in("P. 101:201(100) ack 1 win 4096");
  EXPECT_EQ(h.read(1000), 100U);
  EXPECT_EQ(h.out(), "");
  for (std::uint32_t at = 201; at < 70'000; at += 10'000) {
    h.in("P. " + std::to_string(at) + ":" + std::to_string(at + 10'000) + "(10000) ack 1 win 4096");
  }
  EXPECT_EQ(h.out(), "");
  EXPECT_EQ(h.read(100'000), 70'000U);
  EXPECT_EQ(h.out(), ". 1:1(0) ack 70201 win 32768");
}

TEST(Reliable, Close_BothFinsAndNothingElse) {
  Harness h(reliable());
  h.establish("mss 1460,wscale 4");
  h.write(10);
  h.tcp.close(h.c, h.now);
  EXPECT_EQ(h.out(), "P. 1:11(10) ack 1 win 32768\nF. 11:11(0) ack 1 win 32768");
  EXPECT_EQ(h.state(), State::kFinWait2);
  h.in("F. 1:1(0) ack 12 win 4096");
  EXPECT_EQ(h.out(), "");
  EXPECT_EQ(h.state_block->connections.in_use(), 0U);
}

TEST(Reliable, PeerCloses_UserReadsTheEnd) {
  Harness h(reliable());
  h.establish("mss 1460,wscale 4");
  h.in("FP. 1:11(10) ack 1 win 4096");
  EXPECT_EQ(h.events(), static_cast<std::uint32_t>(EPOLLIN | EPOLLRDHUP));
  EXPECT_EQ(h.state(), State::kCloseWait);
  EXPECT_EQ(h.read(100), 10U);
  EXPECT_EQ(h.read(100), 0U);
  h.tcp.close(h.c, h.now);
  EXPECT_EQ(h.out(), "F. 1:1(0) ack 12 win 32768");
  EXPECT_EQ(h.state_block->connections.in_use(), 0U);
}

TEST(Reliable, Cork_GathersSmallPieces) {
  Harness h(reliable());
  h.establish("mss 1460,wscale 4");
  EXPECT_EQ(h.write(10, true).bytes, 10U);
  EXPECT_EQ(h.write(10, true).bytes, 10U);
  EXPECT_EQ(h.out(), "");
  EXPECT_EQ(h.write(10).bytes, 10U);
  EXPECT_EQ(h.out(), "P. 1:31(30) ack 1 win 32768");
  EXPECT_EQ(h.write(7, true).bytes, 7U);
  EXPECT_EQ(h.out(), "");
  h.advance_ms(200);
  EXPECT_EQ(h.out(), "P. 31:38(7) ack 1 win 32768");
}

}  // namespace
}  // namespace ringway::tcp
