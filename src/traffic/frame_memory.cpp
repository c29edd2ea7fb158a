#include "traffic/frame_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>

namespace ringway::traffic {

FrameMemory::~FrameMemory() {
  if (base_ != nullptr) ::munmap(base_, size_);
}

base::Result<void> FrameMemory::make(std::uint32_t slots, std::uint32_t bytes) {
  // Drivers that share frames with a device want slots that do not cross pages by halves.
  const std::uint32_t slot_size = std::max(4096U, std::bit_ceil(bytes + mem::kMaxHeadroom));
  size_ = std::size_t{slots} * slot_size;
  void* at = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return base::fail_errno("no memory for frames");
  base_ = at;
  state_ = {slot_size, slots, 0, 0, 0, 0};
  pool_ = mem::FramePool(&state_, static_cast<std::byte*>(base_));
  return {};
}

}  // namespace ringway::traffic
