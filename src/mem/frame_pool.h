#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mem/frame_desc.h"
#include "mem/region.h"

namespace ringway::mem {

/// Headroom for headers in front of every frame: at least 128 bytes, coloured by slot index so that
/// equal offsets of different slots do not fall into the same cache set.
constexpr std::uint32_t kMinHeadroom = 128;
constexpr std::uint32_t kColours = 8;
constexpr std::uint32_t coloured_headroom(std::uint32_t slot) {
  return kMinHeadroom + (slot % kColours) * 64;
}
constexpr std::uint32_t kMaxHeadroom = kMinHeadroom + (kColours - 1) * 64;

/// Bookkeeping of a FramePool; all zero with slot_size and slot_count set is a valid, full pool.
/// Plain data: lives in an arena or at the start of a Region.
struct FramePoolState {
  std::uint32_t slot_size;
  std::uint32_t slot_count;
  std::uint32_t free_head;   ///< slot + 1 of the last one freed; 0: none
  std::uint32_t high_water;  ///< slots ever given out
  std::uint32_t in_use;
  std::uint32_t reserved;
};

/// Fixed-size frames of a private Region, last in, first out. Single-threaded: the stack's lock
/// guards it. A free frame's first four bytes link to the next free one.
class FramePool final : public FrameSink {
 public:
  FramePool() = default;
  FramePool(FramePoolState* state, std::byte* base) : state_(state), base_(base) {}

  static constexpr std::uint32_t kNone = UINT32_MAX;

  /// A slot, or kNone when all are in use. The content is undefined.
  std::uint32_t allocate() {
    std::uint32_t slot;
    if (state_->free_head != 0) {
      slot = state_->free_head - 1;
      std::memcpy(&state_->free_head, data(slot), sizeof state_->free_head);
    } else {
      if (state_->high_water == state_->slot_count) return kNone;
      slot = state_->high_water++;
    }
    ++state_->in_use;
    return slot;
  }
  void free(std::uint32_t slot) {
    assert(slot < state_->high_water);
    std::memcpy(data(slot), &state_->free_head, sizeof state_->free_head);
    state_->free_head = slot + 1;
    --state_->in_use;
  }
  void release(const std::uint32_t* slots, std::size_t count) override {
    for (std::size_t i = 0; i < count; ++i) free(slots[i]);
  }

  std::byte* data(std::uint32_t slot) const {
    return base_ + std::size_t{slot} * state_->slot_size;
  }
  std::uint32_t slot_size() const { return state_->slot_size; }
  std::uint32_t size() const { return state_->slot_count; }
  std::uint32_t free_count() const { return state_->slot_count - state_->in_use; }
  RegionView view() { return {base_, state_->slot_size, state_->slot_count, 0, 0, this}; }

 private:
  FramePoolState* state_ = nullptr;
  std::byte* base_ = nullptr;
};

}  // namespace ringway::mem
