#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"
#include "mem/frame_desc.h"
#include "ring/slot_ring.h"

namespace ringway::ring {

/// The sender's own bookkeeping of one direction. Plain data in its arena; all zero is a fresh
/// link.
struct SenderState {
  std::uint32_t next;         ///< position of the next slot
  std::uint32_t consumed;     ///< the receiver's progress as last read
  std::uint32_t returned;     ///< frames taken back so far
  std::uint32_t small_high;   ///< small frames ever used
  std::uint32_t big_high;     ///< big frames ever used
  std::uint32_t small_free;   ///< entries of free_small
  std::uint32_t big_free;     ///< entries of free_big
  std::uint32_t bad_returns;  ///< returned frames that the peer did not have
  std::array<std::uint16_t, kSmallFrames> free_small;
  std::array<std::uint16_t, kBigFrames> free_big;
  std::array<std::uint64_t, kFrames / 64> lent;  ///< bit: the peer has the frame
};

/// Writes frames into one direction of a link. A process-local view; the stack's lock guards the
/// state.
class SlotSender {
 public:
  SlotSender() = default;
  SlotSender(SenderState* state, Direction* shared, std::byte* region)
      : state_(state), shared_(shared), region_(region) {}

  static constexpr std::uint32_t kNoFrame = UINT32_MAX;
  static constexpr std::uint32_t kLine = Slot::kLine;
  static constexpr std::uint32_t kFirst = Slot::kFirst;

  /// Room for `length` bytes. `slot` is kNoFrame for a frame that rides in the ring.
  struct Reservation {
    std::byte* data = nullptr;  ///< nullptr: no room now
    std::uint32_t frame = kNoFrame;
  };

  Reservation reserve(std::uint32_t length) {
    if (!has_slot()) return {};
    if (length > Slot::kInlineBytes) return reserve_frame(length);
    own_lines(slot(state_->next), length);
    return {draft_.data(), kNoFrame};
  }
  /// Publishes the reserved frame with its first `length` bytes. Each reserve is followed by one
  /// commit or cancel before the next.
  void commit(const Reservation& r, std::uint32_t length, mem::FrameDesc desc) {
    Slot& s = slot(state_->next);
    desc.length = static_cast<std::uint16_t>(length);
    s.l4_offset = desc.l4_offset;
    if (r.frame == kNoFrame) {
      // The first line last, and together with the sequence number.
      if (length > kFirst)
        base::copy_small(s.data.data() + kFirst, draft_.data() + kFirst, length - kFirst);
      std::memcpy(s.data.data(), draft_.data(), kFirst);
      s.length = desc.length;
      s.flags = desc.flags | mem::kFrameInline;
    } else {
      desc.slot = r.frame;
      desc.offset = static_cast<std::uint16_t>(r.data - frame_base(r.frame));
      state_->lent[r.frame / 64] |= std::uint64_t{1} << (r.frame % 64);
      s.flags = desc.flags;
      std::memcpy(s.data.data(), &desc, sizeof desc);
    }
    ++state_->next;
    s.seq.store(state_->next, std::memory_order_release);
  }
  void cancel(const Reservation& r) {
    if (r.frame != kNoFrame) give_back(r.frame);
  }
  /// True if a slot is free for one more frame.
  bool has_slot() {
    if (state_->next - state_->consumed < kSlots) [[likely]]
      return true;
    return refresh_consumed();
  }
  /// Most bytes that one frame can hold.
  static constexpr std::uint32_t max_frame_bytes() { return kBigFrameBytes; }
  /// Something arrived from the other side, so an answer is likely: see own_lines().
  void expect_send() { own_lines(slot(state_->next), kFirst + 1); }
  /// True while the receiver has said that it polls this link, so that no mark is needed.
  bool receiver_is_hot() const { return shared_->hot.load(std::memory_order_relaxed) != 0; }
  /// The bit to mark in the receiver's mailbox.
  std::uint32_t mark_bit() const {
    return shared_->mark_bit.load(std::memory_order_relaxed) % Mailbox::kMaxLinks;
  }
  /// Before sleeping without room. Look for room once more after the heavy barrier.
  void set_wants_room() { shared_->wants_room.store(1, std::memory_order_release); }
  /// True if a slot and a frame of each size can be had.
  bool has_room_for_all() {
    if (!has_slot()) return false;
    if (state_->big_free == 0 && state_->big_high == kBigFrames) collect_returned();
    return state_->big_free != 0 || state_->big_high < kBigFrames;
  }
  bool valid() const { return shared_ != nullptr; }

 private:
  Slot& slot(std::uint32_t position) { return shared_->slots[position % kSlots]; }
  std::byte* frame_base(std::uint32_t frame) const {
    return frame < kSmallFrames ? region_ + std::size_t{frame} * kSmallSlotBytes
                                : region_ + std::size_t{kSmallFrames} * kSmallSlotBytes +
                                      std::size_t{frame - kSmallFrames} * kBigSlotBytes;
  }
  void give_back(std::uint32_t frame) {
    if (frame < kSmallFrames) {
      state_->free_small[state_->small_free++] = static_cast<std::uint16_t>(frame);
    } else {
      state_->free_big[state_->big_free++] = static_cast<std::uint16_t>(frame);
    }
  }
  /// The receiver read these lines a lap ago and its core still holds them: asks for them while the
  /// frame is being written. Not for the first one, which the receiver polls.
  static void own_lines(Slot& s, std::uint32_t length) {
    for (std::uint32_t at = kFirst; at < length; at += kLine) {
      asm volatile("prefetchw %0" : : "m"(s.data[at]));
    }
  }
  bool refresh_consumed();
  Reservation reserve_frame(std::uint32_t length);
  std::uint32_t take_frame(bool small);
  /// Takes back what the receiver returned; validates every index.
  void collect_returned();

  SenderState* state_ = nullptr;
  Direction* shared_ = nullptr;
  std::byte* region_ = nullptr;
  /// A frame that rides in the ring is written here first: the receiver's polling would take the
  /// slot's first line away between the first store to it and the sequence number.
  alignas(kLine) std::array<std::byte, Slot::kInlineBytes> draft_{};
};

}  // namespace ringway::ring
