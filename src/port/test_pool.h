#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "mem/frame_pool.h"
#include "mem/pool_memory.h"

namespace ringway::port {

/// A frame pool in ordinary memory from a page boundary on, for tests.
class TestPool {
 public:
  explicit TestPool(std::uint32_t slots = 1024, std::uint32_t slot_size = 4096)
      : state_{slot_size, slots, 0, 0, 0, 0},
        memory_(std::size_t{slots} * slot_size + kPage),
        pool_(&state_, memory_.data() + to_page(memory_.data())) {}
  /// The same over memory that others can be given.
  explicit TestPool(std::unique_ptr<mem::PoolMemory> shared)
      : state_{}, shared_(std::move(shared)), pool_(shared_->pool()) {}
  TestPool(const TestPool&) = delete;
  TestPool& operator=(const TestPool&) = delete;

  mem::FramePool& pool() { return pool_; }
  /// The memory of a shared one; else null.
  mem::PoolMemory* shared() { return shared_.get(); }
  bool whole() const { return pool_.free_count() == pool_.size(); }

  /// A frame that holds `bytes`; the pool must have one and the bytes must fit.
  mem::FrameDesc frame(std::span<const std::byte> bytes) {
    mem::FrameDesc desc;
    desc.slot = pool_.allocate();
    desc.offset = static_cast<std::uint16_t>(mem::coloured_headroom(desc.slot));
    desc.length = static_cast<std::uint16_t>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), pool_.data(desc.slot) + desc.offset);
    return desc;
  }
  std::vector<std::byte> bytes(const mem::FrameDesc& desc) const {
    const std::byte* begin = pool_.data(desc.slot) + desc.offset;
    return {begin, begin + desc.length};
  }
  /// The bytes of a whole packet, whose frames go back to the pool.
  std::vector<std::byte> take(std::span<const mem::FrameDesc> packet) {
    std::vector<std::byte> all;
    for (const mem::FrameDesc& piece : packet) {
      const auto part = bytes(piece);
      all.insert(all.end(), part.begin(), part.end());
      pool_.free(piece.slot);
    }
    return all;
  }

 private:
  static constexpr std::size_t kPage = 4096;
  static std::size_t to_page(const std::byte* at) {
    return (kPage - reinterpret_cast<std::uintptr_t>(at) % kPage) % kPage;
  }

  mem::FramePoolState state_;
  std::vector<std::byte> memory_;
  std::unique_ptr<mem::PoolMemory> shared_;
  mem::FramePool pool_;
};

}  // namespace ringway::port
