#pragma once

#include <emmintrin.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "netmap/process.h"
#include "netmap/registry.h"

/// Slots and buffers, which programs may write at any moment: everything is read once and checked.
namespace ringway::netmap {

/// Steps from `from` to `to` around a ring of n slots; `to` may be up to 2n - 1.
inline std::uint32_t distance(std::uint32_t from, std::uint32_t to, std::uint32_t n) {
  const std::uint32_t steps = to + n - from;
  return steps >= n ? (steps >= 2 * n ? steps - 2 * n : steps - n) : steps;
}
inline std::uint32_t next(std::uint32_t i, std::uint32_t n) { return i + 1 == n ? 0 : i + 1; }
inline std::uint32_t previous(std::uint32_t i, std::uint32_t n) { return i == 0 ? n - 1 : i - 1; }

/// One value of shared memory, read exactly once.
template <typename T>
inline T once(const T& value) {
  return *const_cast<const volatile T*>(&value);
}

/// One slot, read by a single load.
inline abi::Slot read_slot(const abi::Slot* slot) {
  const __m128i bits = *reinterpret_cast<const volatile __m128i*>(slot);
  abi::Slot copy;
  std::memcpy(&copy, &bits, sizeof copy);
  return copy;
}
inline abi::Slot read_slot(const Kring& kring, std::uint32_t i) {
  return read_slot(ring_of(kring)->slots() + i);
}

struct Piece {
  std::byte* data;
  std::uint32_t bytes;
};

/// The buffers of an allocator.
class Buffers {
 public:
  explicit Buffers(std::uint32_t allocator) {
    const Pool& pool = registry()->allocators[allocator].bufs;
    base_ = at(span_of(allocator) + pool.offset);
    size_ = pool.size;
    total_ = pool.total;
  }
  std::uint32_t size() const { return size_; }
  std::byte* address(std::uint32_t index) const { return base_ + std::uint64_t{index} * size_; }
  /// 0 for what is no buffer of a slot.
  std::uint32_t checked(std::uint32_t index) const {
    return index >= 2 && index < total_ ? index : 0;
  }
  /// What a filled slot holds. A bad index is buffer 0; what does not fit the buffer is empty.
  Piece piece(const Kring& kring, const abi::Slot& slot) const {
    const std::uint32_t offset = offset_of(kring, slot);
    return {address(checked(slot.buf_idx)) + offset,
            slot.len + offset > size_ ? 0U : std::uint32_t{slot.len}};
  }
  /// Where a slot may be filled; nothing if its index is bad.
  Piece room(const Kring& kring, const abi::Slot& slot) const {
    const std::uint32_t offset = offset_of(kring, slot);
    const std::uint32_t index = checked(once(slot.buf_idx));
    return {address(index) + offset, index == 0 ? 0 : size_ - offset};
  }

 private:
  std::uint32_t offset_of(const Kring& kring, const abi::Slot& slot) const {
    if (kring.offset_mask == 0) [[likely]]
      return 0;
    const std::uint64_t asked = once(slot.ptr) & kring.offset_mask;
    return static_cast<std::uint32_t>(std::min({asked, kring.max_offset, std::uint64_t{size_}}));
  }

  std::byte* base_;
  std::uint32_t size_;
  std::uint32_t total_;
};

}  // namespace ringway::netmap
