#pragma once

#include <cstdint>

#include "mem/frame_pool.h"
#include "mem/pool_memory.h"

namespace ringway::driver {

/// Where the frames of a queue live: a pool of the caller's, and the file behind it if there is
/// one, so that drivers can share the frames with others instead of copying (docs/decisions/0045).
struct Frames {
  mem::FramePool* pool;
  int fd = -1;  ///< sealed memfd that begins with slot 0; -1: private memory

  // NOLINTNEXTLINE(google-explicit-constructor): a pool alone says where frames live
  Frames(mem::FramePool& own) : pool(&own) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  Frames(mem::PoolMemory& memory) : pool(&memory.pool()), fd(memory.fd()) {}
  Frames(mem::FramePool& own, int memfd) : pool(&own), fd(memfd) {}

  std::byte* base() const { return pool->data(0); }
  std::uint64_t size_bytes() const { return std::uint64_t{pool->size()} * pool->slot_size(); }
};

}  // namespace ringway::driver
