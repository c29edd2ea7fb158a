#include <poll.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "port/conformance.h"
#include "port/packet.h"

namespace ringway::port {

using Bytes = std::vector<std::byte>;

void PortConformance::SetUp() {
  auto wire = GetParam().open();
  if (!wire) {
    const base::Error& error = wire.error();
    ASSERT_TRUE(error.code == base::ErrorCode::kPermission ||
                error.code == base::ErrorCode::kUnavailable)
        << error.what;
    GTEST_SKIP() << error.what;
  }
  wire_ = std::move(*wire);
  if (wire_->keeps_frames()) return;
  ASSERT_TRUE(pool().whole()) << "an open port keeps no frames while nothing moves";
}

void PortConformance::TearDown() {
  if (!wire_) return;
  wire_->close();
  EXPECT_EQ(pool().pool().free_count(), pool().pool().size()) << "frames leaked";
}

void PortConformance::restart() {
  wire_->close();
  EXPECT_TRUE(pool().whole()) << "frames leaked";
  wire_.reset();
  auto wire = GetParam().open();
  ASSERT_TRUE(wire) << wire.error().what;
  wire_ = std::move(*wire);
}

std::size_t PortConformance::max_plain_frame() {
  const std::size_t ethernet = std::size_t{port().caps().mtu} + 14;
  // It is to fit behind the headroom of any slot.
  const std::size_t room = pool().pool().slot_size() - mem::kMaxHeadroom;
  return std::min<std::size_t>({ethernet, port().caps().max_frame, room});
}

// Broadcast, of a type for experiments (IEEE 802, 9.2.3), so that no kernel answers it.
Bytes PortConformance::pattern(std::size_t length, unsigned seed) const {
  Bytes frame(length);
  for (std::size_t i = 0; i < length; ++i) {
    frame[i] = i < 6 ? std::byte{0xff} : static_cast<std::byte>(i * 7 + seed);
  }
  constexpr std::array<std::byte, 8> kFromAndType{std::byte{2},    std::byte{0},   std::byte{0},
                                                  std::byte{0},    std::byte{0},   std::byte{9},
                                                  std::byte{0x88}, std::byte{0xb5}};
  for (std::size_t i = 6; i < std::min<std::size_t>(length, 14); ++i)
    frame[i] = kFromAndType[i - 6];
  return frame;
}

std::vector<Bytes> PortConformance::receive_all(std::size_t burst) {
  std::vector<Bytes> frames;
  std::vector<mem::FrameDesc> descs(burst);
  for (;;) {
    const std::size_t n = port().rx_burst(descs);
    EXPECT_LE(n, burst);
    if (n == 0) return frames;
    std::span<const mem::FrameDesc> left(descs.data(), n);
    while (!left.empty()) {
      const std::size_t pieces = pieces_of(left);
      if (pieces == 0) {
        ADD_FAILURE() << "rx_burst returned the beginning of a packet";
        free_packet(pool().pool(), left);
        break;
      }
      EXPECT_TRUE(lies_within(pool().pool(), left.first(pieces)));
      frames.push_back(pool().take(left.first(pieces)));
      left = left.subspan(pieces);
    }
  }
}

bool PortConformance::send(std::span<const std::byte> frame) {
  const mem::FrameDesc desc = pool().frame(frame);
  if (port().tx_burst({&desc, 1}) == 1) return true;
  pool().pool().free(desc.slot);
  return false;
}

bool PortConformance::is_readable(int fd) {
  pollfd item{fd, POLLIN, 0};
  return ::poll(&item, 1, 0) == 1 && (item.revents & POLLIN) != 0;
}

namespace {

std::vector<std::size_t> lengths_between(std::size_t least, std::size_t most) {
  std::vector<std::size_t> lengths;
  for (const std::size_t n :
       {std::size_t{1}, std::size_t{14}, std::size_t{15}, std::size_t{59}, std::size_t{60},
        std::size_t{61}, std::size_t{64}, std::size_t{128}, std::size_t{231}, std::size_t{232},
        std::size_t{233}, std::size_t{1000}, std::size_t{1500}, most - 1}) {
    if (n > least && n < most) lengths.push_back(n);
  }
  lengths.insert(lengths.begin(), least);
  lengths.push_back(most);
  return lengths;
}

}  // namespace

TEST_P(PortConformance, Caps_MakeSense) {
  const Caps& caps = port().caps();
  EXPECT_FALSE(port().name().empty());
  EXPECT_GE(caps.mtu, 576);
  EXPECT_GE(caps.max_frame, caps.mtu + 14U);
  EXPECT_FALSE(caps.mac.is_multicast());
  EXPECT_NE(caps.mac, base::MacAddress{});
  // For the table of docs/drivers.md.
  RecordProperty("mtu", caps.mtu);
  RecordProperty("max_frame", static_cast<int>(caps.max_frame));
  RecordProperty("checksums", caps.tx_checksum ? 1 : 0);
  RecordProperty("segments", caps.tx_gso ? 1 : 0);
  RecordProperty("sleeps", port().arm() ? 1 : 0);
  RecordProperty("shares_frames", wire_->keeps_frames() ? 1 : 0);
}

TEST_P(PortConformance, RxNothing_ReturnsAtOnce) {
  EXPECT_TRUE(receive_all().empty());
  EXPECT_EQ(port().counters().rx_frames, 0U);
}

TEST_P(PortConformance, RxEveryLength_ArrivesIntact) {
  for (const std::size_t length : lengths_between(wire_->min_frame(), max_plain_frame())) {
    const Bytes frame = pattern(length, static_cast<unsigned>(length));
    ASSERT_TRUE(wire_->inject(frame)) << length;
    const auto received = receive_all();
    ASSERT_EQ(received.size(), 1U) << length;
    EXPECT_EQ(received[0], frame) << length;
  }
}

TEST_P(PortConformance, RxManyFrames_KeepOrderInEveryBurstSize) {
  for (const std::size_t burst : {1U, 2U, 7U, 32U, 256U}) {
    std::vector<Bytes> sent;
    for (unsigned i = 0; i < 100; ++i) {
      sent.push_back(pattern(60 + i, i));
      ASSERT_TRUE(wire_->inject(sent.back()));
    }
    EXPECT_EQ(receive_all(burst), sent) << burst;
  }
}

TEST_P(PortConformance, RxIntoNothing_TakesNothing) {
  ASSERT_TRUE(wire_->inject(pattern(60, 1)));
  EXPECT_EQ(port().rx_burst({}), 0U);
  EXPECT_EQ(receive_all().size(), 1U);
}

TEST_P(PortConformance, RxFrame_HasHeadroom) {
  ASSERT_TRUE(wire_->inject(pattern(60, 1)));
  mem::FrameDesc desc;
  ASSERT_EQ(port().rx_burst({&desc, 1}), 1U);
  EXPECT_GE(desc.offset, mem::kMinHeadroom);
  EXPECT_EQ(desc.flags & mem::kFrameInline, 0);
  pool().pool().free(desc.slot);
}

TEST_P(PortConformance, RxPoolEmpty_IsCountedAndRecovers) {
  std::vector<std::uint32_t> all;
  for (std::uint32_t slot; (slot = pool().pool().allocate()) != mem::FramePool::kNone;) {
    all.push_back(slot);
  }
  // What the port holds ready is used up first.
  std::array<mem::FrameDesc, 4> descs;
  while (wire_->keeps_frames() && port().counters().rx_no_frame == 0 &&
         wire_->inject(pattern(60, 1))) {
    const std::size_t n = port().rx_burst(descs);
    for (std::size_t i = 0; i < n; ++i) all.push_back(descs[i].slot);
  }
  static_cast<void>(wire_->inject(pattern(60, 1)));
  for (std::size_t n; (n = port().rx_burst(descs)) != 0;) {
    ASSERT_TRUE(wire_->keeps_frames());
    for (std::size_t i = 0; i < n; ++i) all.push_back(descs[i].slot);
  }
  EXPECT_GT(port().counters().rx_no_frame, 0U);
  for (const std::uint32_t slot : all) pool().pool().free(slot);
  receive_all();
  ASSERT_TRUE(wire_->inject(pattern(61, 2)));
  const auto received = receive_all();
  ASSERT_FALSE(received.empty());
  EXPECT_EQ(received.back(), pattern(61, 2));
}

TEST_P(PortConformance, TxEveryLength_ArrivesIntact) {
  for (const std::size_t length : lengths_between(wire_->min_frame(), max_plain_frame())) {
    const Bytes frame = pattern(length, static_cast<unsigned>(length));
    ASSERT_TRUE(send(frame)) << length;
    const auto received = wire_->collect();
    ASSERT_TRUE(received) << length;
    EXPECT_EQ(*received, frame) << length;
  }
  EXPECT_EQ(port().counters().tx_bad, 0U);
}

TEST_P(PortConformance, TxBurst_KeepsOrder) {
  std::vector<mem::FrameDesc> burst;
  for (unsigned i = 0; i < 32; ++i) burst.push_back(pool().frame(pattern(60 + i, i)));
  std::size_t taken = 0;
  for (int turn = 0; turn < 32 && taken < burst.size(); ++turn) {
    taken += port().tx_burst(std::span(burst).subspan(taken));
  }
  ASSERT_EQ(taken, burst.size());
  for (unsigned i = 0; i < 32; ++i) {
    const auto received = wire_->collect();
    ASSERT_TRUE(received) << i;
    EXPECT_EQ(*received, pattern(60 + i, i));
  }
  EXPECT_FALSE(wire_->collect());
}

TEST_P(PortConformance, TxNothing_TakesNothing) {
  EXPECT_EQ(port().tx_burst({}), 0U);
  EXPECT_FALSE(wire_->collect());
}

TEST_P(PortConformance, TxRingFull_TakesAPrefixAndLosesNothing) {
  if (!wire_->lossless()) GTEST_SKIP() << "the other side of this port drops what it cannot keep";
  constexpr unsigned kMany = 20'000;
  unsigned sent = 0;
  while (sent < kMany && send(pattern(60, sent))) {
    ++sent;
    port().reclaim();
  }
  ASSERT_GT(sent, 0U);
  for (unsigned i = 0; i < sent; ++i) {
    const auto received = wire_->collect();
    ASSERT_TRUE(received) << i;
    ASSERT_EQ(*received, pattern(60, i)) << i;
  }
  if (sent == kMany) GTEST_SKIP() << "this port does not fill within " << kMany << " frames";
  EXPECT_TRUE(send(pattern(60, 1))) << "there is room again";
}

TEST_P(PortConformance, TxChain_LeavesAsOneFrame) {
  const std::uint64_t before = port().counters().tx_frames;
  const Bytes frame = pattern(max_plain_frame(), 3);
  const auto part = [&](std::size_t from, std::size_t to) {
    return pool().frame(std::span(frame).subspan(from, to - from));
  };
  std::array<mem::FrameDesc, 4> descs{part(0, 14), part(14, 15), part(15, frame.size()),
                                      pool().frame(pattern(60, 4))};
  descs[0].flags = descs[1].flags = mem::kFrameMore;
  ASSERT_EQ(port().tx_burst(descs), descs.size());
  const auto received = wire_->collect();
  ASSERT_TRUE(received);
  EXPECT_EQ(*received, frame);
  EXPECT_EQ(wire_->collect(), pattern(60, 4));
  EXPECT_EQ(port().counters().tx_frames - before, 2U);
}

TEST_P(PortConformance, TxChainWithoutEnd_IsNotTaken) {
  std::array<mem::FrameDesc, 3> descs{pool().frame(pattern(60, 1)), pool().frame(pattern(60, 2)),
                                      pool().frame(pattern(60, 3))};
  descs[1].flags = descs[2].flags = mem::kFrameMore;
  EXPECT_EQ(port().tx_burst(descs), 1U);
  free_packet(pool().pool(), std::span(descs).subspan(1));
  EXPECT_EQ(wire_->collect(), pattern(60, 1));
  EXPECT_FALSE(wire_->collect());
}

TEST_P(PortConformance, TxTooLong_IsCountedAndFreed) {
  std::vector<mem::FrameDesc> chain;
  for (std::size_t left = std::size_t{port().caps().max_frame} + 1; left != 0;) {
    const std::size_t n = std::min<std::size_t>(left, 3000);
    chain.push_back(pool().frame(pattern(n, 1)));
    chain.back().flags = mem::kFrameMore;
    left -= n;
  }
  chain.back().flags = 0;
  EXPECT_EQ(port().tx_burst(chain), chain.size());
  EXPECT_EQ(port().counters().tx_bad, 1U);
  EXPECT_FALSE(wire_->collect());
}

TEST_P(PortConformance, TxTooShort_IsCountedAndFreed) {
  EXPECT_TRUE(send({}));
  std::uint64_t bad = 1;
  if (wire_->min_frame() > 1) {
    EXPECT_TRUE(send(pattern(wire_->min_frame() - 1, 1)));
    ++bad;
  }
  EXPECT_EQ(port().counters().tx_bad, bad);
  EXPECT_FALSE(wire_->collect());
}

TEST_P(PortConformance, TxOutsideItsSlot_IsCountedAndFreed) {
  mem::FrameDesc beyond = pool().frame(pattern(60, 1));
  beyond.offset = static_cast<std::uint16_t>(pool().pool().slot_size() - 59);
  mem::FrameDesc overflow = pool().frame(pattern(60, 1));
  overflow.offset = 0xffff;
  overflow.length = 0xffff;
  mem::FrameDesc nowhere;
  nowhere.slot = pool().pool().size();
  nowhere.length = 60;
  mem::FrameDesc nothing = nowhere;
  nothing.slot = UINT32_MAX;
  const std::array<mem::FrameDesc, 5> descs{beyond, overflow, nowhere, nothing,
                                            pool().frame(pattern(60, 5))};
  EXPECT_EQ(port().tx_burst(descs), descs.size());
  EXPECT_EQ(port().counters().tx_bad, 4U);
  EXPECT_EQ(wire_->collect(), pattern(60, 5));
}

TEST_P(PortConformance, TxChainOfTooManyPieces_IsCountedAndFreed) {
  std::vector<mem::FrameDesc> chain;
  for (std::size_t i = 0; i < kMaxPieces + 1; ++i) {
    chain.push_back(pool().frame(pattern(15, 1)));
    chain.back().flags = mem::kFrameMore;
  }
  chain.back().flags = 0;
  EXPECT_EQ(port().tx_burst(chain), chain.size());
  EXPECT_EQ(port().counters().tx_bad, 1U);
  EXPECT_FALSE(wire_->collect());
}

TEST_P(PortConformance, RxRunts_ArriveIntactOrNotAtAll) {
  for (std::size_t length = 1; length <= 60; ++length) {
    const Bytes frame = pattern(length, static_cast<unsigned>(length));
    const bool sent = wire_->inject(frame);
    for (const Bytes& received : receive_all()) {
      EXPECT_EQ(received, frame) << length;
    }
    EXPECT_TRUE(sent || length < wire_->min_frame()) << length;
  }
  ASSERT_TRUE(wire_->inject(pattern(100, 1)));
  EXPECT_EQ(receive_all().size(), 1U) << "the port goes on";
}

TEST_P(PortConformance, RxAnyLength_ArrivesIntactOrIsCounted) {
  for (const std::size_t length : {1515U, 2048U, 3521U, 4096U, 9014U, 16384U, 65534U, 65535U}) {
    const Bytes frame = pattern(length, static_cast<unsigned>(length));
    const PortCounters before = port().counters();
    if (!wire_->inject(frame)) continue;
    const auto received = receive_all(64);
    const PortCounters& after = port().counters();
    if (received.empty()) {
      // Or the medium itself has lost it: then no counter of the port can know.
      EXPECT_GE(after.rx_too_long + after.rx_bad + after.rx_no_frame,
                before.rx_too_long + before.rx_bad + before.rx_no_frame);
    } else {
      EXPECT_EQ(received.size(), 1U) << length;
      EXPECT_EQ(received[0], frame) << length;
    }
  }
  ASSERT_TRUE(wire_->inject(pattern(100, 1)));
  EXPECT_EQ(receive_all().size(), 1U) << "the port goes on";
}

TEST_P(PortConformance, DeviceDown_LosesFramesAndNothingElse) {
  if (!wire_->take_down()) GTEST_SKIP() << "this medium does not go down";
  port().advance(base::Instant{} + base::Duration::seconds(1));
  EXPECT_TRUE(receive_all().empty());
  for (unsigned i = 0; i < 40; ++i) EXPECT_TRUE(send(pattern(60, i)));
  port().reclaim();
  EXPECT_EQ(port().counters().tx_error, 40U);
  const auto fd = port().arm();
  EXPECT_FALSE(fd && is_readable(*fd));
  ASSERT_TRUE(wire_->bring_up());
  port().advance(base::Instant{} + base::Duration::seconds(2));
  while (wire_->collect()) {
  }
  receive_all();
  ASSERT_TRUE(send(pattern(61, 1)));
  EXPECT_EQ(wire_->collect(), pattern(61, 1)) << "and nothing of what was sent while it was down";
  ASSERT_TRUE(wire_->inject(pattern(62, 1)));
  EXPECT_EQ(receive_all(), std::vector<Bytes>{pattern(62, 1)});
}

TEST_P(PortConformance, MtuChange_IsNoticed) {
  if (!wire_->set_mtu(1280)) GTEST_SKIP() << "the MTU of this medium is fixed";
  port().advance(base::Instant{} + base::Duration::seconds(1));
  EXPECT_EQ(port().caps().mtu, 1280);
  ASSERT_TRUE(send(pattern(1294, 1)));
  EXPECT_EQ(wire_->collect(), pattern(1294, 1));
}

TEST_P(PortConformance, TxOffloadWithoutTheCapability_IsCounted) {
  if (port().caps().tx_checksum) GTEST_SKIP() << "this port computes checksums";
  mem::FrameDesc desc = pool().frame(pattern(60, 1));
  desc.flags = mem::kFrameCsumNeeded;
  EXPECT_EQ(port().tx_burst({&desc, 1}), 1U);
  EXPECT_EQ(port().counters().tx_bad, 1U);
  EXPECT_FALSE(wire_->collect());
}

TEST_P(PortConformance, Arm_IsReadableIffThereIsSomething) {
  const auto fd = port().arm();
  if (!fd && fd.error().code == base::ErrorCode::kUnavailable) GTEST_SKIP() << fd.error().what;
  ASSERT_TRUE(fd) << fd.error().what;
  EXPECT_FALSE(is_readable(*fd));
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(wire_->inject(pattern(60, 1)));
    ASSERT_TRUE(wire_->inject(pattern(60, 2)));
    EXPECT_TRUE(is_readable(*fd));
    mem::FrameDesc one;
    ASSERT_EQ(port().rx_burst({&one, 1}), 1U);
    pool().pool().free(one.slot);
    EXPECT_TRUE(is_readable(*fd)) << "one is left";
    EXPECT_EQ(receive_all().size(), 1U);
    EXPECT_FALSE(is_readable(*fd));
  }
  EXPECT_EQ(port().arm().value(), *fd) << "the port keeps its fd";
}

TEST_P(PortConformance, ArmAfterArrival_IsReadable) {
  ASSERT_TRUE(wire_->inject(pattern(60, 1)));
  const auto fd = port().arm();
  if (!fd && fd.error().code == base::ErrorCode::kUnavailable) GTEST_SKIP() << fd.error().what;
  ASSERT_TRUE(fd) << fd.error().what;
  EXPECT_TRUE(is_readable(*fd));
}

TEST_P(PortConformance, Counters_CountFramesAndBytes) {
  const PortCounters before = port().counters();
  ASSERT_TRUE(wire_->inject(pattern(100, 1)));
  ASSERT_TRUE(wire_->inject(pattern(200, 1)));
  receive_all();
  ASSERT_TRUE(send(pattern(300, 1)));
  const PortCounters& counters = port().counters();
  EXPECT_EQ(counters.rx_frames - before.rx_frames, 2U);
  EXPECT_EQ(counters.rx_bytes - before.rx_bytes, 300U);
  EXPECT_EQ(counters.tx_frames - before.tx_frames, 1U);
  EXPECT_EQ(counters.tx_bytes - before.tx_bytes, 300U);
}

TEST_P(PortConformance, CloseWithFramesUnderWay_LeaksNone) {
  for (unsigned i = 0; i < 20; ++i) {
    ASSERT_TRUE(wire_->inject(pattern(60, i)));
    ASSERT_TRUE(send(pattern(60, i)));
  }
  wire_->close();
  EXPECT_TRUE(pool().whole());
}

}  // namespace ringway::port
