#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "mem/frame_pool.h"

namespace ringway::mem {

/// A FramePool and the memory of its frames: a sealed memfd, so that a device, another process or
/// the kernel can be given the same frames (docs/decisions/0045). For programs that open ports
/// without a stack; a stack's pool lies in its arena. Does not move while it lives.
class PoolMemory {
 public:
  /// `slots` frames of `slot_size` bytes (a power of two, 2048 at least), not touched yet.
  static base::Result<std::unique_ptr<PoolMemory>> create(std::string_view name,
                                                          std::uint32_t slots,
                                                          std::uint32_t slot_size = 4096);
  ~PoolMemory();
  PoolMemory(const PoolMemory&) = delete;
  PoolMemory& operator=(const PoolMemory&) = delete;

  FramePool& pool() { return pool_; }
  /// The memfd that holds slot 0 at its beginning; stays with the PoolMemory.
  int fd() const { return fd_; }
  std::size_t size_bytes() const { return size_; }

 private:
  PoolMemory() = default;

  FramePoolState state_{};
  FramePool pool_;
  std::byte* base_ = nullptr;
  std::size_t size_ = 0;
  int fd_ = -1;
};

}  // namespace ringway::mem
