#include "mem/capture.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace ringway::mem {
namespace {

struct Memory {
  CaptureControl control{};
  std::unique_ptr<CaptureRing> ring = std::make_unique<CaptureRing>();
  CaptureTap tap{control, *ring};

  void on(std::uint32_t snap) {
    control.snap_bytes = snap;
    control.until_ns = 1000;
    ASSERT_TRUE(tap.look({5}));
  }
};

std::vector<std::byte> frame_of(std::size_t length, std::uint64_t number) {
  std::vector<std::byte> frame(length, static_cast<std::byte>(number));
  std::memcpy(frame.data(), &number, sizeof number);
  return frame;
}

TEST(Capture, IsOnOnlyUntilItsTime) {
  Memory memory;
  EXPECT_FALSE(memory.tap.look({0}));
  memory.control.until_ns = 100;
  EXPECT_TRUE(memory.tap.look({99}));
  EXPECT_FALSE(memory.tap.look({100}));
  EXPECT_FALSE(CaptureTap().look({0}));
}

TEST(Capture, ReaderGetsFramesFromWhereItBegan) {
  Memory memory;
  memory.on(100);
  memory.tap.record(frame_of(60, 1), {}, CaptureWay::kIn, 1);
  CaptureReader reader(*memory.ring);
  FrameDesc desc;
  desc.flags = kFrameCsumNeeded;
  desc.gso_size = 1448;
  memory.tap.record(frame_of(3000, 2), desc, CaptureWay::kOut, 7);
  CaptureRecord record{};
  std::vector<std::byte> bytes(200);
  ASSERT_TRUE(reader.next(record, bytes));
  EXPECT_EQ(record.length, 3000U);
  EXPECT_EQ(record.kept, 100U);
  EXPECT_EQ(record.time_ns, 5);
  EXPECT_EQ(record.port, 7);
  EXPECT_EQ(record.flags, kFrameCsumNeeded);
  EXPECT_EQ(record.gso_size, 1448);
  EXPECT_EQ(record.way, CaptureWay::kOut);
  EXPECT_EQ(bytes[99], std::byte{2});
  EXPECT_FALSE(reader.next(record, bytes));
  EXPECT_EQ(reader.lost(), 0U);
}

TEST(Capture, SeveralLaps_ASlowReaderLosesAndCounts) {
  Memory memory;
  memory.on(65535);
  CaptureReader fast(*memory.ring);
  CaptureReader slow(*memory.ring);
  CaptureRecord record{};
  std::vector<std::byte> bytes(65535);
  constexpr std::uint64_t kFrames = 20'000;
  std::uint64_t seen = 0;
  for (std::uint64_t n = 0; n < kFrames; ++n) {
    memory.tap.record(frame_of(61 + n * 37 % 2000, n), {}, CaptureWay::kIn, 0);
    if (n == 10) {
      ASSERT_TRUE(slow.next(record, bytes));
    }
    while (fast.next(record, bytes)) {
      std::uint64_t number = 0;
      std::memcpy(&number, bytes.data(), sizeof number);
      EXPECT_EQ(number, seen++);
      EXPECT_EQ(record.length, 61 + number * 37 % 2000);
    }
  }
  EXPECT_EQ(seen, kFrames);
  EXPECT_EQ(fast.lost(), 0U);
  EXPECT_FALSE(slow.next(record, bytes));  // it starts anew, behind all that there is
  memory.tap.record(frame_of(60, kFrames), {}, CaptureWay::kIn, 0);
  ASSERT_TRUE(slow.next(record, bytes));
  EXPECT_EQ(slow.lost(), kFrames - 1);
}

TEST(Capture, NonsenseInTheRing_NeverLeadsOutOfIt) {
  Memory memory;
  CaptureReader reader(*memory.ring);
  std::uint64_t word = 88172645463325252U;
  for (std::size_t i = 0; i + 8 <= CaptureRing::kBytes; i += 8) {
    word ^= word << 13;
    word ^= word >> 7;
    word ^= word << 17;
    std::memcpy(&memory.ring->bytes[i], &word, sizeof word);
  }
  CaptureRecord record{};
  std::vector<std::byte> bytes(100);
  for (std::uint64_t end = 1; end < 100'000'000; end = end * 3 + 8) {
    memory.ring->written = end;
    memory.ring->reserved = end;
    for (int i = 0; i < 100 && reader.next(record, bytes); ++i) EXPECT_LE(record.kept, 100U);
  }
}

TEST(Capture, WhileTheWriterWrites_NoTornFrameIsRead) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "copies first and asks afterwards, as a sequence lock does: a race by design";
#endif
  Memory memory;
  memory.on(65535);
  std::atomic<bool> done = false;
  std::atomic<bool> begun = false;
  std::thread writer([&] {
    while (!begun.load()) std::this_thread::yield();
    for (std::uint64_t n = 0; n < 30'000; ++n) {
      memory.tap.record(frame_of(1000, n), {}, CaptureWay::kIn, 0);
    }
    done = true;
  });
  CaptureReader reader(*memory.ring);
  CaptureRecord record{};
  std::vector<std::byte> bytes(2000);
  std::uint64_t read = 0;
  begun = true;
  for (bool last = false; !last;) {
    last = done;
    while (reader.next(record, bytes)) {
      ++read;
      std::uint64_t number = 0;
      std::memcpy(&number, bytes.data(), sizeof number);
      ASSERT_EQ(number, record.number);
      ASSERT_EQ(bytes[8], static_cast<std::byte>(number));
      ASSERT_EQ(bytes[999], static_cast<std::byte>(number));
    }
  }
  writer.join();
  // What is lost at the very end is learnt from the next frame only.
  memory.tap.record(frame_of(60, 0), {}, CaptureWay::kIn, 0);
  if (reader.next(record, bytes)) ++read;
  EXPECT_EQ(read + reader.lost(), 30'001U);
}

}  // namespace
}  // namespace ringway::mem
