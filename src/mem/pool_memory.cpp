#include "mem/pool_memory.h"

#include <sys/mman.h>

#include <bit>
#include <string>

#include "base/sys.h"
#include "mem/arena.h"

namespace ringway::mem {

base::Result<std::unique_ptr<PoolMemory>> PoolMemory::create(std::string_view name,
                                                             std::uint32_t slots,
                                                             std::uint32_t slot_size) {
  constexpr std::uint32_t kLeastSlot = 2048;
  constexpr std::uint32_t kLargestSlot = 1U << 17;
  if (slots == 0 || slots > FrameRef::kMaxSlots || slot_size < kLeastSlot ||
      slot_size > kLargestSlot || !std::has_single_bit(slot_size)) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "a frame pool has 1 to 1048576 frames of a power of two from 2048 to 131072 "
                      "bytes");
  }
  const std::size_t size = (std::size_t{slots} * slot_size + 4095) & ~std::size_t{4095};
  auto fd = make_sealed_memfd(name, size);
  if (!fd) return tl::unexpected(std::move(fd).error());
  std::unique_ptr<PoolMemory> memory(new PoolMemory);
  memory->fd_ = *fd;
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, *fd, 0);
  if (at == MAP_FAILED) {
    return base::fail_errno("cannot map " + std::to_string(size) + " bytes of frames");
  }
  memory->base_ = static_cast<std::byte*>(at);
  memory->size_ = size;
  memory->state_.slot_size = slot_size;
  memory->state_.slot_count = slots;
  memory->pool_ = FramePool(&memory->state_, memory->base_);
  return memory;
}

PoolMemory::~PoolMemory() {
  if (base_ != nullptr) ::munmap(base_, size_);
  if (fd_ >= 0) base::sys::close(fd_);
}

}  // namespace ringway::mem
