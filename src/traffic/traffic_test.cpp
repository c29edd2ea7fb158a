#include <gtest/gtest.h>

#include <vector>

#include "driver/loop/loop.h"
#include "port/test_pool.h"
#include "traffic/generator.h"
#include "traffic/receiver.h"
#include "wire/packet_view.h"

namespace ringway::traffic {
namespace {

using base::Duration;
using base::Instant;

FrameMaker make(const FramePattern& pattern) { return FrameMaker::create(pattern).value(); }

TEST(Sizes, ParsesNumbersRangesAndMix) {
  EXPECT_EQ(Sizes::parse("64")->of(7), 64);
  const auto range = Sizes::parse("64-66").value();
  EXPECT_EQ(range.of(0), 64);
  EXPECT_EQ(range.of(2), 66);
  EXPECT_EQ(range.of(3), 64);
  const auto mix = Sizes::parse("imix").value();
  int counts[3] = {};
  for (std::uint64_t n = 0; n < 12; ++n) ++counts[mix.of(n) == 64 ? 0 : mix.of(n) == 590 ? 1 : 2];
  EXPECT_EQ(counts[0], 7);
  EXPECT_EQ(counts[1], 4);
  EXPECT_EQ(counts[2], 1);
  for (const char* wrong : {"", "59", "65001", "100-64", "a", "64-", "64 "}) {
    EXPECT_FALSE(Sizes::parse(wrong)) << wrong;
  }
}

TEST(Ranges, ParseAndCount) {
  EXPECT_EQ(base::to_string(AddressRange::parse("10.0.0.250-10.0.1.5")->of(8)), "10.0.1.2");
  EXPECT_EQ(base::to_string(AddressRange::parse("fd00::1-fd00::3")->of(2)), "fd00::3");
  EXPECT_EQ(PortRange::parse("0-65535")->count, 65536U);
  for (const char* wrong :
       {"10.0.0.2-10.0.0.1", "10.0.0.1-fd00::1", "10.0.0", "10.0.0.1-11.0.0.1"}) {
    EXPECT_FALSE(AddressRange::parse(wrong)) << wrong;
  }
  for (const char* wrong : {"", "65536", "9-8", "x"})
    EXPECT_FALSE(PortRange::parse(wrong)) << wrong;
}

TEST(Rate, ParsesPacketsAndBits) {
  EXPECT_EQ(Rate::parse("250kpps")->per_second, 250'000U);
  EXPECT_FALSE(Rate::parse("250kpps")->bits);
  EXPECT_EQ(Rate::parse("1gbit")->per_second, 1'000'000'000U);
  EXPECT_TRUE(Rate::parse("1gbit")->bits);
  EXPECT_EQ(Rate::parse("max")->per_second, 0U);
  for (const char* wrong : {"", "fast", "100", "0pps", "-1kpps", "pps"}) {
    EXPECT_FALSE(Rate::parse(wrong)) << wrong;
  }
}

TEST(Pacer, KeepsTheRateExactly) {
  Pacer pacer(Rate{3'000'000, false});  // 333 1/3 ns: no whole number
  std::uint64_t frames = 0;
  for (std::int64_t ns = 0; ns < 10'000'000; ns += 1000) {
    while (pacer.due({ns})) {
      pacer.spend(64);
      ++frames;
    }
  }
  EXPECT_NEAR(static_cast<double>(frames), 30'000, 3);
}

TEST(Pacer, AfterALongPause_DoesNotMakeUpForAll) {
  Pacer pacer(Rate{1000, false});
  ASSERT_TRUE(pacer.due({0}));
  int frames = 0;
  while (pacer.due({Duration::seconds(5).ns})) {
    pacer.spend(64);
    ++frames;
  }
  EXPECT_LE(frames, 11);
}

class Frames : public testing::TestWithParam<bool> {};

TEST_P(Frames, AreSoundAndFlowsTakeTurns) {
  FramePattern pattern;
  if (GetParam()) {
    pattern.src = *AddressRange::parse("fd00::1-fd00::2");
    pattern.dst = *AddressRange::parse("fd00::9");
  } else {
    pattern.src = *AddressRange::parse("10.0.0.1-10.0.0.2");
    pattern.vlan = 7;
  }
  pattern.src_port = *PortRange::parse("100-102");
  pattern.sizes = *Sizes::parse("120-123");
  const FrameMaker maker = make(pattern);
  EXPECT_EQ(maker.flows(), 6U);
  for (std::uint64_t n = 0; n < 12; ++n) {
    std::vector<std::byte> frame(maker.length_of(n), std::byte{0xee});
    maker.write(n, {5, n, 99}, frame);
    wire::PacketView view;
    ASSERT_EQ(wire::parse_frame(frame, {}, view), wire::ParseDrop::kNone);
    EXPECT_TRUE(view.l4_checksum_ok);
    EXPECT_EQ(view.end, frame.size());
    EXPECT_EQ(view.src_port, 100 + n % 3);
    EXPECT_EQ(view.src, pattern.src.of(static_cast<std::uint32_t>(n / 3 % 2)));
    EXPECT_EQ(view.vlan_id, GetParam() ? 0 : 7);
    const auto stamp = Stamp::parse(std::span(frame).subspan(view.payload_offset));
    ASSERT_TRUE(stamp);
    EXPECT_EQ(stamp->stream, 5);
    EXPECT_EQ(stamp->sequence, n);
    EXPECT_EQ(stamp->time_ns, 99);
  }
}
INSTANTIATE_TEST_SUITE_P(Families, Frames, testing::Bool());

TEST(FrameMaker, TooSmallOrMixedFamilies_IsRefused) {
  FramePattern pattern;
  pattern.sizes = *Sizes::parse("60");
  EXPECT_TRUE(FrameMaker::create(pattern));
  pattern.vlan = 1;
  EXPECT_FALSE(FrameMaker::create(pattern));
  pattern.sizes = *Sizes::parse("200");
  pattern.dst = *AddressRange::parse("fd00::1");
  EXPECT_FALSE(FrameMaker::create(pattern));
}

TEST(Stamp, SequenceOf48BitsSurvives) {
  std::array<std::byte, Stamp::kSize> bytes{};
  Stamp{0xabcd, 0x1234'5678'9abc, -1}.emit(bytes.data());
  const auto stamp = Stamp::parse(bytes);
  ASSERT_TRUE(stamp);
  EXPECT_EQ(stamp->stream, 0xabcd);
  EXPECT_EQ(stamp->sequence, 0x1234'5678'9abcU);
  EXPECT_EQ(stamp->time_ns, -1);
}

TEST(SequenceTracker, TellsLossDuplicatesAndOrder) {
  SequenceTracker tracker;
  for (const std::uint64_t n : {10, 11, 13, 12, 13, 15, 9, 7, 15}) tracker.add(n);
  const auto& counts = tracker.counts();
  EXPECT_EQ(counts.received, 7U);    // 7 9 10 11 12 13 15
  EXPECT_EQ(counts.lost, 2U);        // 8 14
  EXPECT_EQ(counts.duplicates, 2U);  // 13 15
  EXPECT_EQ(counts.reordered, 3U);   // 12 9 7
}

TEST(SequenceTracker, JumpBeyondTheWindow_OldNumbersAreStale) {
  SequenceTracker tracker;
  tracker.add(0);
  tracker.add(SequenceTracker::kWindow * 3);
  EXPECT_EQ(tracker.counts().lost, SequenceTracker::kWindow * 3 - 1);
  tracker.add(5);
  EXPECT_EQ(tracker.counts().stale, 1U);
  tracker.add(SequenceTracker::kWindow * 3 - 1);
  EXPECT_EQ(tracker.counts().reordered, 1U);
  EXPECT_EQ(tracker.counts().duplicates, 0U);
}

TEST(Histogram, QuantilesAreWithinABin) {
  Histogram histogram;
  for (int i = 1; i <= 1000; ++i) histogram.add(i * 1000);
  EXPECT_EQ(histogram.count(), 1000U);
  EXPECT_EQ(histogram.least(), 1000U);
  EXPECT_EQ(histogram.most(), 1'000'000U);
  EXPECT_NEAR(static_cast<double>(histogram.quantile(500)), 500e3, 500e3 / 16);
  EXPECT_NEAR(static_cast<double>(histogram.quantile(990)), 990e3, 990e3 / 16);
  EXPECT_EQ(Histogram().quantile(500), 0U);
}

struct Wire {
  explicit Wire(const char* spec)
      : ports(driver::open_loop(*driver::LoopOptions::parse(*port::Spec::parse(spec)), first.pool(),
                                second.pool())) {}
  port::TestPool first;
  port::TestPool second;
  std::pair<std::unique_ptr<port::Port>, std::unique_ptr<port::Port>> ports;
};

TEST(GeneratorAndReceiver, OverAFaultyWire_CountsAddUp) {
  Wire wire("loop:loss=0.01,dup=0.01,corrupt=0.01,reorder=0.01,delay=10us,seed=3");
  {
    Generator generator(*wire.ports.first, wire.first.pool(), make({}),
                        {.rate = Rate{1'000'000, false}, .count = 20'000, .stream = 4});
    Receiver receiver(*wire.ports.second, wire.second.pool());
    for (std::int64_t ns = 0; ns < 40'000'000; ns += 2000) {
      generator.turn({ns});
      receiver.turn({ns});
    }
    EXPECT_TRUE(generator.done());
    EXPECT_EQ(generator.frames(), 20'000U);
    EXPECT_EQ(generator.bytes(), 20'000U * 64);
    const auto counts = receiver.sequence();
    EXPECT_NEAR(static_cast<double>(counts.received + counts.lost), 20'000, 5);
    EXPECT_GT(counts.lost, 100U);
    EXPECT_GT(counts.duplicates, 100U);
    EXPECT_GT(counts.reordered, 50U);
    EXPECT_GT(receiver.counts().damaged, 50U);
    EXPECT_GE(receiver.latency().least(), 10'000U);
    EXPECT_LE(receiver.latency().quantile(500), 14'000U);
  }
  EXPECT_TRUE(wire.first.whole());
}

TEST(Generator, FullPort_KeepsFramesAndTheirOrder) {
  Wire wire("loop:size=8");
  Generator generator(*wire.ports.first, wire.first.pool(), make({}), {.count = 100});
  Receiver receiver(*wire.ports.second, wire.second.pool());
  for (std::int64_t ns = 0; !generator.done() && ns < 1000; ++ns) {
    generator.turn({ns});
    receiver.turn({ns});
  }
  receiver.turn({2000});
  EXPECT_GT(generator.full(), 0U);
  EXPECT_EQ(receiver.sequence().received, 100U);
  EXPECT_EQ(receiver.sequence().lost + receiver.sequence().reordered, 0U);
}

}  // namespace
}  // namespace ringway::traffic
