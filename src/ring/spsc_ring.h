#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace ringway::ring {

/// A single-producer single-consumer ring of N trivially copyable items (N a power of two), for two
/// threads or two processes. All zero is empty. One side pushes, one pops; both batch; neither
/// blocks.
///
///   line 0: tail | producer's copy of head      line 1: head | consumer's copy of tail      then
///   the items
///
/// Both indices are checked: a hostile other side can lose or repeat items, never lead out of the
/// ring.
template <typename T, std::uint32_t N>
class SpscRing {
 public:
  static_assert((N & (N - 1)) == 0 && N > 0);
  static_assert(std::is_trivially_copyable_v<T>);

  /// Producer: appends a prefix of `items`; returns how many.
  std::size_t push(std::span<const T> items) {
    const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
    if (N - (tail - head_seen_) < items.size()) {
      const std::uint32_t head = head_.load(std::memory_order_acquire);
      if (tail - head <= N) head_seen_ = head;
    }
    const auto n =
        static_cast<std::uint32_t>(std::min<std::size_t>(items.size(), N - (tail - head_seen_)));
    const std::uint32_t first = std::min(n, N - tail % N);  // up to the end; the rest wraps
    std::copy_n(items.data(), first, &items_[tail % N]);
    std::copy_n(items.data() + first, n - first, items_.data());
    tail_.store(tail + n, std::memory_order_release);
    return n;
  }
  /// Consumer: takes up to out.size() items; returns how many.
  std::size_t pop(std::span<T> out) {
    const std::uint32_t head = head_.load(std::memory_order_relaxed);
    if (tail_seen_ - head < out.size()) {
      const std::uint32_t tail = tail_.load(std::memory_order_acquire);
      if (tail - head <= N) tail_seen_ = tail;
    }
    const auto n = static_cast<std::uint32_t>(std::min<std::size_t>(out.size(), tail_seen_ - head));
    const std::uint32_t first = std::min(n, N - head % N);
    std::copy_n(&items_[head % N], first, out.data());
    std::copy_n(items_.data(), n - first, out.data() + first);
    head_.store(head + n, std::memory_order_release);
    return n;
  }
  /// Any side, a moment's view.
  std::size_t size() const {
    return tail_.load(std::memory_order_acquire) - head_.load(std::memory_order_acquire);
  }

 private:
  alignas(64) std::atomic<std::uint32_t> tail_;
  std::uint32_t head_seen_;
  alignas(64) std::atomic<std::uint32_t> head_;
  std::uint32_t tail_seen_;
  alignas(64) std::array<T, N> items_;
};

}  // namespace ringway::ring
