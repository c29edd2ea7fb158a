#include "driver/memif/memif_memory.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstring>
#include <utility>

#include "base/sys.h"
#include "mem/arena.h"

namespace ringway::driver::memif {
namespace {

namespace sys = base::sys;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::uint64_t kPage = 4096;
/// Buffers of a slave that copies; a longer frame takes several.
constexpr std::uint32_t kBufferBytes = 2048;
/// Offsets in a ring have 32 bits.
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 32;

std::byte* map_file(int fd, std::uint64_t size) {
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  return at == MAP_FAILED ? nullptr : static_cast<std::byte*>(at);
}

}  // namespace

Region::~Region() {
  if (mapped_) ::munmap(base_, size_);
}

void Region::swap(Region& other) noexcept {
  std::swap(base_, other.base_);
  std::swap(size_, other.size_);
  std::swap(stable_, other.stable_);
  std::swap(mapped_, other.mapped_);
  std::swap(fd_, other.fd_);
}

Result<Region> Region::map(base::UniqueFd fd, std::uint64_t size) {
  struct stat status {};
  if (size == 0 || size > kMostBytes || sys::fstat(fd.get(), &status) < 0 ||
      !S_ISREG(status.st_mode) || static_cast<std::uint64_t>(status.st_size) < size) {
    return fail(ErrorCode::kCorrupt, "a region is no file of the size that is said");
  }
  Region region;
  const int seals = sys::fcntl(fd.get(), F_GET_SEALS);
  region.stable_ = seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
  region.base_ = map_file(fd.get(), size);
  if (region.base_ == nullptr) return base::fail_errno("cannot map a memif region");
  region.mapped_ = true;
  region.size_ = size;
  region.fd_ = std::move(fd);
  return region;
}

Result<Region> Region::create(std::uint64_t size) {
  size = (size + kPage - 1) / kPage * kPage;
  auto fd = mem::make_sealed_memfd("memif", size);
  if (!fd) return tl::unexpected(std::move(fd).error());
  return map(base::UniqueFd(*fd), size);
}

Result<Region> Region::of_frames(const Frames& frames) {
  Region region;
  region.fd_.reset(sys::fcntl(frames.fd, F_DUPFD_CLOEXEC, 0));
  if (!region.fd_) return base::fail_errno("cannot share the frames");
  region.base_ = frames.base();
  region.size_ = frames.size_bytes();
  region.stable_ = true;
  return region;
}

bool Region::read(std::uint32_t offset, std::span<std::byte> to) const {
  if (stable_) {
    std::memcpy(to.data(), base_ + offset, to.size());
    return true;
  }
  iovec local{to.data(), to.size()};
  iovec remote{base_ + offset, to.size()};
  return sys::process_vm_readv(sys::getpid(), &local, &remote) == static_cast<ssize_t>(to.size());
}

bool Region::write(std::uint32_t offset, std::span<const std::byte> from) const {
  if (stable_) {
    std::memcpy(base_ + offset, from.data(), from.size());
    return true;
  }
  iovec local{const_cast<std::byte*>(from.data()), from.size()};
  iovec remote{base_ + offset, from.size()};
  return sys::process_vm_writev(sys::getpid(), &local, &remote) ==
         static_cast<ssize_t>(from.size());
}

Result<Memory> Memory::offer(const MemifOptions& options, const Frames& frames, unsigned log2) {
  Memory memory;
  memory.log2 = log2;
  const auto ring_bytes = static_cast<std::uint32_t>(RingLayout::bytes(log2));
  memory.m2s_offset = ring_bytes;
  memory.buffers_offset = (2 * ring_bytes + kPage - 1) / kPage * kPage;
  memory.buffer_bytes = kBufferBytes;
  std::uint64_t size = memory.buffers_offset;
  if (!options.zero_copy) size += std::uint64_t{2 * kBufferBytes} << log2;
  auto own = Region::create(size);
  if (!own) return tl::unexpected(std::move(own).error());
  memory.s2m = Ring(own->base(), log2);
  memory.m2s = Ring(own->base() + memory.m2s_offset, log2);
  memory.s2m.format();
  memory.m2s.format();
  memory.m2s.want_bell(false);
  memory.regions.push_back(std::move(*own));
  if (options.zero_copy) {
    auto shared = Region::of_frames(frames);
    if (!shared) return tl::unexpected(std::move(shared).error());
    memory.regions.push_back(std::move(*shared));
  }
  memory.s2m_bell.reset(sys::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  memory.m2s_bell.reset(sys::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!memory.s2m_bell || !memory.m2s_bell) return base::fail_errno("no eventfd for a memif ring");
  return memory;
}

}  // namespace ringway::driver::memif
