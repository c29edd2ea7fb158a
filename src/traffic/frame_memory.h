#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "mem/frame_pool.h"

namespace ringway::traffic {

/// A frame pool in anonymous memory of its own, for a program that is all port and no stack.
/// Not to be moved: the pool points into it.
class FrameMemory {
 public:
  FrameMemory() = default;
  ~FrameMemory();
  FrameMemory(const FrameMemory&) = delete;
  FrameMemory& operator=(const FrameMemory&) = delete;

  /// Makes `slots` frames that hold `bytes` at least, behind any headroom. To be called once.
  base::Result<void> make(std::uint32_t slots, std::uint32_t bytes);
  mem::FramePool& pool() { return pool_; }

 private:
  mem::FramePoolState state_{};
  void* base_ = nullptr;
  std::size_t size_ = 0;
  mem::FramePool pool_;
};

}  // namespace ringway::traffic
