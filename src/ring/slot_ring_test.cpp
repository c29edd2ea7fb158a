#include "ring/slot_ring.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "base/random.h"
#include "ring/slot_receiver.h"
#include "ring/slot_sender.h"

namespace ringway::ring {
namespace {

constexpr std::size_t kRegionBytes =
    std::size_t{kSmallFrames} * kSmallSlotBytes + std::size_t{kBigFrames} * kBigSlotBytes;

class SlotRingTest : public testing::Test {
 protected:
  bool send(std::uint32_t length, std::byte fill) {
    const auto r = sender_.reserve(length);
    if (r.data == nullptr) return false;
    std::memset(r.data, static_cast<int>(fill), length);
    sender_.commit(r, length, {});
    return true;
  }

  std::unique_ptr<Direction> shared_ = std::make_unique<Direction>();
  std::vector<std::byte> region_ = std::vector<std::byte>(kRegionBytes);
  std::unique_ptr<SenderState> sender_state_ = std::make_unique<SenderState>();
  ReceiverState receiver_state_{};
  SlotSender sender_{sender_state_.get(), shared_.get(), region_.data()};
  SlotReceiver receiver_{&receiver_state_, shared_.get(), region_.data()};
};

TEST_F(SlotRingTest, FramesOfAllSizes_ArriveInOrderAndIntact) {
  base::Random random = base::Random::seeded(7);
  for (int i = 0; i < 20'000; ++i) {
    const auto length = 1 + random.below(random.below(10) == 0 ? kBigFrameBytes - 1 : 400);
    const auto fill = static_cast<std::byte>(i);
    ASSERT_TRUE(send(length, fill));
    const auto frame = receiver_.next();
    ASSERT_NE(frame.data, nullptr);
    ASSERT_EQ(frame.desc.length, length);
    ASSERT_EQ(frame.data[0], fill);
    ASSERT_EQ(frame.data[length - 1], fill);
    if ((frame.desc.flags & mem::kFrameInline) == 0) receiver_.release(&frame.desc.slot, 1);
    receiver_.publish();
  }
  EXPECT_EQ(receiver_.next().data, nullptr);
  EXPECT_EQ(receiver_state_.kept, 0U);
}

TEST_F(SlotRingTest, FrameInTheSlot_TouchesNothingThatTheReceiverPollsBeforeCommit) {
  Slot before;
  std::memcpy(static_cast<void*>(&before), &shared_->slots[0], sizeof before);
  const auto r = sender_.reserve(Slot::kInlineBytes);
  std::memset(r.data, 0x5a, Slot::kInlineBytes);
  EXPECT_EQ(std::memcmp(&before, &shared_->slots[0], sizeof before), 0);
  sender_.commit(r, Slot::kInlineBytes, {});
  const auto frame = receiver_.next();
  ASSERT_NE(frame.data, nullptr);
  EXPECT_EQ(std::memcmp(frame.data, r.data, Slot::kInlineBytes), 0);
}

TEST_F(SlotRingTest, FullRing_RefusesUntilTheReceiverPublishes) {
  for (std::uint32_t i = 0; i < kSlots; ++i) ASSERT_TRUE(send(10, std::byte{1}));
  EXPECT_FALSE(send(10, std::byte{2}));
  ASSERT_NE(receiver_.next().data, nullptr);
  EXPECT_FALSE(send(10, std::byte{2}));
  receiver_.publish();
  EXPECT_TRUE(send(10, std::byte{2}));
}

TEST_F(SlotRingTest, FramesRunOut_RefusesUntilOneIsReturned) {
  for (std::uint32_t i = 0; i < kBigFrames; ++i) ASSERT_TRUE(send(kBigFrameBytes, std::byte{1}));
  EXPECT_FALSE(send(kBigFrameBytes, std::byte{2}));
  const auto frame = receiver_.next();
  receiver_.release(&frame.desc.slot, 1);
  EXPECT_TRUE(send(kBigFrameBytes, std::byte{2}));
}

TEST_F(SlotRingTest, HostileSender_DescriptorOutsideTheRegionIsCountedAndSkipped) {
  const mem::FrameDesc bad[] = {
      {.slot = kFrames, .offset = 0, .length = 1},
      {.slot = 0, .offset = 2000, .length = 100},
      {.slot = kFrames - 1, .offset = 1, .length = 65535},
  };
  std::uint32_t position = 0;
  for (const auto& desc : bad) {
    std::memcpy(shared_->slots[position].data.data(), &desc, sizeof desc);
    shared_->slots[position].seq.store(position + 1);
    ++position;
  }
  shared_->slots[position].flags = mem::kFrameInline;
  shared_->slots[position].length = Slot::kInlineBytes + 1;
  shared_->slots[position].seq.store(position + 1);
  EXPECT_EQ(receiver_.next().data, nullptr);
  EXPECT_EQ(receiver_state_.bad_descs, 4U);
}

TEST_F(SlotRingTest, HostileReceiver_ReturningWhatItDoesNotHoldIsCounted) {
  ASSERT_TRUE(send(1000, std::byte{1}));
  shared_->returned[0].store(77);  // never lent
  shared_->returned[1].store(0);   // lent
  shared_->returned[2].store(0);   // twice
  shared_->returned[3].store(0xffffffff);
  shared_->return_tail.store(4);
  ASSERT_TRUE(send(1000, std::byte{2}));  // takes the returned frame again
  EXPECT_EQ(sender_state_->bad_returns, 3U);
  shared_->return_tail.store(1'000'000);
  ASSERT_TRUE(send(1000, std::byte{2}));
  EXPECT_EQ(sender_state_->bad_returns, 4U);
  shared_->consumed.store(0x80000000);  // progress beyond what was sent
  for (std::uint32_t i = 0; i < 2 * kSlots; ++i) send(10, std::byte{1});
  EXPECT_EQ(sender_state_->next, kSlots);
}

TEST_F(SlotRingTest, TwoThreads_EveryFrameArrives) {
  constexpr std::uint32_t kCount = 200'000;
  std::thread producer([&] {
    base::Random random = base::Random::seeded(3);
    for (std::uint32_t i = 0; i < kCount;) {
      const auto length = 4 + random.below(500);
      const auto r = sender_.reserve(length);
      if (r.data == nullptr) {
        std::this_thread::yield();
        continue;
      }
      std::memcpy(r.data, &i, sizeof i);
      sender_.commit(r, length, {});
      ++i;
    }
  });
  for (std::uint32_t i = 0; i < kCount;) {
    const auto frame = receiver_.next();
    if (frame.data == nullptr) {
      std::this_thread::yield();
      continue;
    }
    std::uint32_t got;
    std::memcpy(&got, frame.data, sizeof got);
    ASSERT_EQ(got, i);
    if ((frame.desc.flags & mem::kFrameInline) == 0) receiver_.release(&frame.desc.slot, 1);
    receiver_.publish();
    ++i;
  }
  producer.join();
}

/// Takes the marks of `box`, and with each what was published before it.
void take_marks(Mailbox& box, const std::atomic<std::uint32_t>& published,
                std::atomic<std::uint32_t>& seen) {
  if (box.summary.load(std::memory_order_relaxed) == 0) return;
  if (box.summary.exchange(0, std::memory_order_seq_cst) == 0) return;
  if (box.dirty[0].exchange(0, std::memory_order_seq_cst) == 0) return;
  seen.store(published.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

TEST(MailboxTest, MarkWhileAnEarlierOneIsTaken_WhatWasPublishedBeforeItIsSeen) {
  constexpr std::uint32_t kCount = 20'000;
  Mailbox box{};
  alignas(64) std::atomic<std::uint32_t> published{0};
  alignas(64) std::atomic<std::uint32_t> seen{0};
  alignas(64) std::atomic<std::uint64_t> looks{0};
  alignas(64) std::atomic<bool> stop{false};
  std::thread receiver([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      take_marks(box, published, seen);
      looks.fetch_add(1);
    }
  });
  std::uint32_t lost = 0;
  for (std::uint32_t i = 1; i <= kCount && lost == 0; ++i) {
    box.mark(5);
    published.store(i, std::memory_order_release);
    box.mark(5);
    while (seen.load() != i && lost == 0) {
      const std::uint64_t before = looks.load();
      if (box.summary.load() != 0) continue;
      // All marks are taken: after one whole look more, what they stood for has been seen or never
      // will be.
      while (looks.load() < before + 2) std::this_thread::yield();
      if (seen.load() != i) ++lost;
    }
  }
  stop = true;
  receiver.join();
  EXPECT_EQ(lost, 0U);
}

}  // namespace
}  // namespace ringway::ring
