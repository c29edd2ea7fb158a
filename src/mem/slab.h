#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace ringway::mem {

/// Fixed-capacity storage of plain objects that are linked by index. Index 0 is nil and never given
/// out.
///
/// All-zero memory is a valid empty slab, so a fresh arena needs no initialisation and touches no
/// page. Freed items are reused last in, first out: they are warm. A free item's first four bytes
/// hold the next free index. Not thread-safe: the stack's lock guards it.
template <typename T, std::uint32_t N>
class Slab {
 public:
  static_assert(std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T>);
  static_assert(sizeof(T) >= sizeof(std::uint32_t));
  static constexpr std::uint32_t kCapacity = N - 1;

  /// An uninitialised item (its old content is undefined), or 0 when the slab is full.
  std::uint32_t allocate_raw() {
    std::uint32_t index = free_head_;
    if (index != 0) {
      std::memcpy(&free_head_, &items_[index], sizeof free_head_);
    } else {
      if (high_water_ + 1 >= N) return 0;
      index = ++high_water_;
    }
    ++in_use_;
    return index;
  }
  /// A value-initialised item, or 0.
  std::uint32_t allocate() {
    const std::uint32_t index = allocate_raw();
    if (index != 0) items_[index] = T{};
    return index;
  }
  void free(std::uint32_t index) {
    assert(index != 0 && index <= high_water_);
    std::memcpy(static_cast<void*>(&items_[index]), &free_head_, sizeof free_head_);
    free_head_ = index;
    --in_use_;
  }

  T& operator[](std::uint32_t index) {
    assert(index != 0 && index < N);
    return items_[index];
  }
  const T& operator[](std::uint32_t index) const {
    assert(index != 0 && index < N);
    return items_[index];
  }
  /// Item `i` lies at data() + i.
  T* data() { return items_.data(); }
  /// For indices that come from outside the stack's own state.
  bool valid(std::uint32_t index) const { return index != 0 && index <= high_water_; }

  std::uint32_t in_use() const { return in_use_; }
  /// Indices ever given out are 1 to high_water().
  std::uint32_t high_water() const { return high_water_; }

 private:
  std::uint32_t free_head_;
  std::uint32_t high_water_;
  std::uint32_t in_use_;
  std::uint32_t reserved_;
  alignas(64) std::array<T, N> items_;
};

}  // namespace ringway::mem
