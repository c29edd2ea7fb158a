#include "driver/loop/loop.h"

#include <gtest/gtest.h>

#include <array>

#include "port/conformance.h"

namespace ringway::driver {
namespace {

using base::Duration;
using base::Instant;
using port::ConformanceCase;
using port::ConformanceWire;
using port::PortConformance;
using port::TestPool;
using Bytes = std::vector<std::byte>;

LoopOptions options_of(const char* spec) {
  return LoopOptions::parse(port::Spec::parse(spec).value()).value();
}

/// Both ends of a loop, each with a pool.
struct Ends {
  explicit Ends(const char* spec) : Ends(options_of(spec)) {}
  explicit Ends(const LoopOptions& options) {
    std::tie(a, b) = open_loop(options, pool_a.pool(), pool_b.pool());
  }

  bool send(std::size_t length, std::uint8_t flags = 0) {
    mem::FrameDesc desc = pool_a.frame(Bytes(length, std::byte{0x5a}));
    desc.flags = flags;
    if (a->tx_burst({&desc, 1}) == 1) return true;
    pool_a.pool().free(desc.slot);
    return false;
  }
  std::vector<Bytes> receive() {
    std::vector<Bytes> frames;
    mem::FrameDesc desc;
    while (b->rx_burst({&desc, 1}) == 1) frames.push_back(pool_b.take({&desc, 1}));
    return frames;
  }

  TestPool pool_a{64};
  TestPool pool_b{64};
  std::unique_ptr<port::Port> a;
  std::unique_ptr<port::Port> b;
};

class LoopWire final : public ConformanceWire {
 public:
  explicit LoopWire(const char* spec) {
    std::tie(port_, peer_) = open_loop(options_of(spec), pool_.pool(), peer_pool_.pool());
  }
  port::Port& port() override { return *port_; }
  TestPool& pool() override { return pool_; }
  bool inject(std::span<const std::byte> frame) override {
    const mem::FrameDesc desc = peer_pool_.frame(frame);
    const bool sent = peer_->tx_burst({&desc, 1}) == 1;
    if (!sent) peer_pool_.pool().free(desc.slot);
    port_->advance(later());
    return sent;
  }
  std::optional<Bytes> collect() override {
    peer_->advance(later());
    mem::FrameDesc desc;
    if (peer_->rx_burst({&desc, 1}) == 0) return std::nullopt;
    return peer_pool_.take({&desc, 1});
  }
  void close() override { port_.reset(); }

 private:
  Instant later() { return now_ = now_ + Duration::milliseconds(10); }

  TestPool pool_{2048};
  TestPool peer_pool_{2048};
  std::unique_ptr<port::Port> port_;
  std::unique_ptr<port::Port> peer_;
  Instant now_{};
};

base::Result<std::unique_ptr<ConformanceWire>> open_wire(const char* spec) {
  return std::make_unique<LoopWire>(spec);
}

INSTANTIATE_TEST_SUITE_P(
    Loop, PortConformance,
    testing::Values(ConformanceCase{"plain", [] { return open_wire("loop"); }},
                    ConformanceCase{"offload", [] { return open_wire("loop:offload=on"); }},
                    ConformanceCase{"delayed", [] { return open_wire("loop:delay=5ms,size=32k"); }},
                    ConformanceCase{"small", [] { return open_wire("loop:size=128,mtu=3000"); }}),
    port::conformance_name);

TEST(Loop, RingFull_TakesNoMore) {
  Ends ends("loop:size=4");
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(ends.send(60));
  EXPECT_FALSE(ends.send(60));
  EXPECT_EQ(ends.receive().size(), 4U);
  EXPECT_TRUE(ends.send(60));
  EXPECT_EQ(ends.a->counters().tx_frames, 5U);
}

TEST(Loop, Delay_DeliversWhenTheReceiverAdvances) {
  Ends ends("loop:delay=5ms");
  ends.a->advance(Instant{} + Duration::milliseconds(1));
  ASSERT_TRUE(ends.send(60));
  EXPECT_TRUE(ends.receive().empty());
  EXPECT_EQ(ends.b->next_deadline(), Instant{} + Duration::milliseconds(6));
  ends.b->advance(Instant{} + Duration::microseconds(5999));
  EXPECT_TRUE(ends.receive().empty());
  ends.b->advance(Instant{} + Duration::milliseconds(6));
  EXPECT_EQ(ends.receive().size(), 1U);
  EXPECT_TRUE(ends.b->next_deadline().is_never());
}

TEST(Loop, DelayedFrameWithoutRoom_IsLostAndCounted) {
  Ends ends("loop:delay=1ms,size=4");
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(ends.send(60));
  ends.b->advance(Instant{} + Duration::milliseconds(1));
  EXPECT_EQ(ends.receive().size(), 4U);
  EXPECT_EQ(ends.b->counters().rx_no_frame, 2U);
}

TEST(Loop, Loss_LosesAsManyInEveryRunOfOneSeed) {
  const auto run = [](const char* spec) {
    Ends ends(spec);
    std::vector<std::size_t> arrived;
    for (std::size_t i = 0; i < 500; ++i) {
      ends.send(60 + i);
      for (const Bytes& frame : ends.receive()) arrived.push_back(frame.size());
    }
    return arrived;
  };
  const auto once = run("loop:loss=0.1,seed=7");
  EXPECT_EQ(once, run("loop:loss=0.1,seed=7"));
  EXPECT_NE(once, run("loop:loss=0.1,seed=8"));
  EXPECT_LT(once.size(), 500U);
  EXPECT_GT(once.size(), 400U);
}

TEST(Loop, Duplicates_AreWholeFramesOfTheirOwn) {
  Ends ends("loop:dup=1");
  ASSERT_TRUE(ends.send(100));
  const auto frames = ends.receive();
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0], frames[1]);
  EXPECT_TRUE(ends.pool_b.whole());
}

TEST(Loop, Corruption_ChangesOneBitAndIsNotVouchedFor) {
  Ends ends("loop:corrupt=1,offload");
  ASSERT_TRUE(ends.send(100));
  mem::FrameDesc desc;
  ASSERT_EQ(ends.b->rx_burst({&desc, 1}), 1U);
  EXPECT_EQ(desc.flags & mem::kFrameCsumOk, 0);
  int ones = 0;
  for (const std::byte b : ends.pool_b.take({&desc, 1})) {
    ones += __builtin_popcount(static_cast<unsigned>(b ^ std::byte{0x5a}));
  }
  EXPECT_EQ(ones, 1);
}

TEST(Loop, Offload_KeepsSegmentSizeAndFlags) {
  Ends ends("loop:offload=on");
  mem::FrameDesc desc = ends.pool_a.frame(Bytes(3000, std::byte{1}));
  desc.flags = mem::kFrameCsumNeeded | mem::kFrameGsoTcp6;
  desc.gso_size = 1440;
  desc.l4_offset = 54;
  ASSERT_EQ(ends.a->tx_burst({&desc, 1}), 1U);
  mem::FrameDesc received;
  ASSERT_EQ(ends.b->rx_burst({&received, 1}), 1U);
  EXPECT_EQ(received.flags, desc.flags | mem::kFrameCsumOk);
  EXPECT_EQ(received.gso_size, 1440);
  EXPECT_EQ(received.l4_offset, 54);
  ends.pool_b.pool().free(received.slot);
}

TEST(Loop, FrameBeyondTheReceiversSlots_IsCounted) {
  TestPool small(64, 1024);
  TestPool large(64);
  auto [a, b] = open_loop(LoopOptions{}, large.pool(), small.pool());
  const mem::FrameDesc desc = large.frame(Bytes(1200, std::byte{1}));
  ASSERT_EQ(a->tx_burst({&desc, 1}), 1U);
  mem::FrameDesc received;
  EXPECT_EQ(b->rx_burst({&received, 1}), 0U);
  EXPECT_EQ(b->counters().rx_too_long, 1U);
  EXPECT_TRUE(small.whole());
}

TEST(Loop, PeerClosed_SendingStillEndsInTheFullRing) {
  Ends ends("loop:size=2");
  ends.b.reset();
  EXPECT_TRUE(ends.send(60));
  EXPECT_TRUE(ends.send(60));
  EXPECT_FALSE(ends.send(60));
  EXPECT_TRUE(ends.pool_a.whole());
}

TEST(LoopSpec, UnknownOptionOrName_IsRefused) {
  EXPECT_FALSE(LoopOptions::parse(port::Spec::parse("loop:los=1").value()));
  EXPECT_FALSE(LoopOptions::parse(port::Spec::parse("loop:name").value()));
  EXPECT_EQ(options_of("loop:mtu=9000,size=2k").mtu, 9000);
  EXPECT_EQ(options_of("loop:mtu=9000,size=2k").size, 2048U);
}

}  // namespace
}  // namespace ringway::driver
