#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>

#include "mem/frame_desc.h"

namespace ringway::mem {

/// Gives frames of a port's Region back to where they came from.
class FrameSink {
 public:
  virtual void release(const std::uint32_t* slots, std::size_t count) = 0;

 protected:
  ~FrameSink() = default;
};

/// A Region as this process has it mapped. Slots [0, small_count) have `small_size` bytes and come
/// first; the rest have `slot_size` bytes. A plain Region has small_count 0.
struct RegionView {
  std::byte* base = nullptr;
  std::uint32_t slot_size = 0;
  std::uint32_t slot_count = 0;  ///< small ones included
  std::uint32_t small_size = 0;
  std::uint32_t small_count = 0;
  FrameSink* sink = nullptr;

  std::byte* slot(std::uint32_t index) const {
    if (index < small_count) return base + std::size_t{index} * small_size;
    return base + std::size_t{small_count} * small_size +
           std::size_t{index - small_count} * slot_size;
  }
  std::uint32_t size_of(std::uint32_t index) const {
    return index < small_count ? small_size : slot_size;
  }
  /// True if [offset, offset + length) lies within slot `index`: the check for descriptors from
  /// outside.
  bool contains(std::uint32_t index, std::uint32_t offset, std::uint32_t length) const {
    return index < slot_count && offset <= size_of(index) && length <= size_of(index) - offset;
  }
};

/// The Regions of one stack as one process has them mapped, by FrameRef::region(). Process-local.
class RegionTable {
 public:
  static constexpr std::uint32_t kMax = 1100;
  static_assert(kMax <= FrameRef::kMaxRegions);

  void set(std::uint32_t region, const RegionView& view) {
    assert(region < kMax);
    views_[region] = view;
  }
  void clear(std::uint32_t region) { views_[region] = RegionView{}; }
  const RegionView& view(std::uint32_t region) const { return views_[region]; }
  bool mapped(FrameRef ref) const {
    return ref.region() < kMax && views_[ref.region()].base != nullptr;
  }

  std::byte* data(FrameRef ref, std::uint32_t offset) const {
    return views_[ref.region()].slot(ref.slot()) + offset;
  }
  void release(FrameRef ref) const {
    const RegionView& view = views_[ref.region()];
    const std::uint32_t slot = ref.slot();
    if (view.sink != nullptr) view.sink->release(&slot, 1);
  }

 private:
  std::array<RegionView, kMax> views_{};
};

}  // namespace ringway::mem
