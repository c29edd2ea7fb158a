#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mem/frame_desc.h"
#include "mem/region.h"
#include "ring/slot_ring.h"

namespace ringway::ring {

/// The receiver's own bookkeeping of one direction. Plain data in its arena; all zero is a fresh
/// link.
struct ReceiverState {
  std::uint32_t next;         ///< position of the next slot
  std::uint32_t published;    ///< `consumed` as last written
  std::uint32_t return_tail;  ///< frames returned so far
  std::uint32_t kept;         ///< frames of the peer's Region that are held here
  std::uint64_t bad_descs;    ///< descriptors that pointed outside of the Region
};

/// Links whose receiver has made room since the last look; the stack asks their senders whether
/// they wait for it. Process-local.
struct RoomMade {
  std::uint32_t count = 0;
  std::array<std::uint16_t, Mailbox::kMaxLinks> links{};
  std::array<bool, Mailbox::kMaxLinks> listed{};

  void add(std::uint16_t link) {
    if (listed[link]) return;
    listed[link] = true;
    links[count++] = link;
  }
};

/// Reads frames out of one direction of a link. A process-local view; the stack's lock guards the
/// state.
class SlotReceiver final : public mem::FrameSink {
 public:
  SlotReceiver() = default;
  /// `room_made` may be nullptr; otherwise `link` is listed there whenever slots or frames are
  /// given back.
  SlotReceiver(ReceiverState* state, Direction* shared, std::byte* region,
               RoomMade* room_made = nullptr, std::uint16_t link = 0)
      : state_(state), shared_(shared), room_made_(room_made), link_(link) {
    view_ = {region, kBigSlotBytes, kFrames, kSmallSlotBytes, kSmallFrames, this};
  }

  struct Frame {
    std::byte* data = nullptr;  ///< nullptr: nothing there
    mem::FrameDesc desc;  ///< validated; kFrameInline: the bytes are in the slot until release()
  };

  /// True if next() would return a frame. Reads shared memory only; needs no lock.
  bool ready() const {
    const std::uint32_t next = std::atomic_ref(state_->next).load(std::memory_order_relaxed);
    const Slot& slot = shared_->slots[next % kSlots];
    return slot.seq.load(std::memory_order_acquire) == next + 1;
  }
  /// The next frame. A frame by reference belongs to the caller until `release(slots)`; an inline
  /// one is valid until the next call of publish(). Bad descriptors are counted and skipped.
  Frame next() {
    // Bad descriptors are part of the burst: a peer cannot keep us here with them.
    for (std::uint32_t bad = 0; bad < kSlots && ready(); ++bad) {
      Slot& slot = shared_->slots[state_->next % kSlots];
      std::atomic_ref(state_->next).store(state_->next + 1, std::memory_order_relaxed);
      // The payload is on its way while the headers are looked at. Not while polling: asking for a
      // line that the sender is about to write costs more than it brings.
      __builtin_prefetch(&slot.data[Slot::kFirst]);
      mem::FrameDesc desc;  // everything is read once
      desc.flags = slot.flags;
      if ((desc.flags & mem::kFrameInline) != 0) {
        desc.length = slot.length;
        desc.l4_offset = slot.l4_offset;
        if (desc.length <= Slot::kInlineBytes) [[likely]]
          return {slot.data.data(), desc};
      } else {
        std::memcpy(&desc, slot.data.data(), sizeof desc);
        desc.flags = static_cast<std::uint8_t>(desc.flags & ~mem::kFrameInline);
        if (view_.contains(desc.slot, desc.offset, desc.length)) {
          ++state_->kept;
          return {view_.slot(desc.slot) + desc.offset, desc};
        }
      }
      ++state_->bad_descs;
    }
    return {};
  }
  /// Gives the slots read so far back to the sender. Once a burst.
  void publish() {
    if (state_->published == state_->next) return;
    state_->published = state_->next;
    shared_->consumed.store(state_->next, std::memory_order_release);
    if (room_made_ != nullptr) room_made_->add(link_);
  }
  /// Returns frames to the sender.
  void release(const std::uint32_t* slots, std::size_t count) override {
    for (std::size_t i = 0; i < count; ++i) {
      shared_->returned[state_->return_tail++ % kReturnSlots].store(slots[i],
                                                                    std::memory_order_relaxed);
      if (state_->kept != 0) --state_->kept;
    }
    shared_->return_tail.store(state_->return_tail, std::memory_order_release);
    if (room_made_ != nullptr) room_made_->add(link_);
  }
  /// After making room: true if the sender waits for it, so that it is to be woken. Clears the
  /// wish.
  bool sender_waits() {
    if (shared_->wants_room.load(std::memory_order_relaxed) == 0) return false;
    publish();
    return shared_->wants_room.exchange(0, std::memory_order_acq_rel) != 0;
  }
  /// True when so much of the peer's Region is held here that new data should be copied out.
  bool crowded() const { return state_->kept > kBigFrames / 2; }
  std::uint32_t slots_since_publish() const { return state_->next - state_->published; }

  void set_hot(bool hot) { shared_->hot.store(hot ? 1 : 0, std::memory_order_release); }
  /// Once, before the peer sends: which bit to mark.
  void set_mark_bit(std::uint32_t bit) { shared_->mark_bit.store(bit, std::memory_order_release); }
  bool is_hot() const { return shared_->hot.load(std::memory_order_relaxed) != 0; }
  const mem::RegionView& view() const { return view_; }
  bool valid() const { return shared_ != nullptr; }

 private:
  ReceiverState* state_ = nullptr;
  Direction* shared_ = nullptr;
  RoomMade* room_made_ = nullptr;
  std::uint16_t link_ = 0;
  mem::RegionView view_;
};

}  // namespace ringway::ring
