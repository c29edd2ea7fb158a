#include "mem/arena.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <utility>

namespace ringway::mem {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

// Raw system calls: this code also runs below an interposed libc.
void close_raw(int fd) { syscall(SYS_close, fd); }

}  // namespace

base::Result<std::size_t> check_sealed(int fd) {
  const long seals = syscall(SYS_fcntl, fd, F_GET_SEALS, 0);
  if (seals < 0) return base::fail_errno("shared memory is not a memfd");
  if ((seals & kSeals) != kSeals || (seals & F_SEAL_WRITE) != 0) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "shared memory lacks the seals SHRINK, GROW and SEAL");
  }
  struct stat status {};
  if (fstat(fd, &status) != 0) return base::fail_errno("shared memory cannot be examined");
  return static_cast<std::size_t>(status.st_size);
}

base::Result<int> make_sealed_memfd(std::string_view name, std::size_t size) {
  const int fd = memfd_create(std::string(name).c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return base::fail_errno("no shared memory could be had (memfd_create)");
  if (ftruncate(fd, static_cast<off_t>(size)) != 0 ||
      syscall(SYS_fcntl, fd, F_ADD_SEALS, kSeals) != 0) {
    auto error =
        base::fail_errno(fmt::format("{} bytes of shared memory could not be reserved", size));
    close_raw(fd);
    return error;
  }
  return fd;
}

Arena::~Arena() {
  if (base_ != nullptr) munmap(base_, size_);
  if (fd_ >= 0) close_raw(fd_);
}

void Arena::swap(Arena& other) noexcept {
  std::swap(base_, other.base_);
  std::swap(size_, other.size_);
  std::swap(fd_, other.fd_);
}

base::Result<Arena> Arena::create(std::string_view name, std::size_t size,
                                  std::uint64_t layout_hash) {
  auto fd = make_sealed_memfd(name, size);
  if (!fd) return tl::unexpected(fd.error());
  Arena arena;
  arena.fd_ = *fd;
  arena.size_ = size;
  void* base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, *fd, 0);
  if (base == MAP_FAILED) return base::fail_errno("the arena could not be mapped");
  arena.base_ = base;
  madvise(base, size, MADV_DONTDUMP);
  ArenaHeader& header = arena.header();
  header.layout_hash = layout_hash;
  header.size_bytes = size;
  header.owner_pid = static_cast<std::uint32_t>(getpid());
  header.magic = ArenaHeader::kMagic;
  return arena;
}

base::Result<Arena> Arena::map(int fd, std::uint64_t layout_hash, bool read_only) {
  Arena arena;
  arena.fd_ = fd;
  const auto size = check_sealed(fd);
  if (!size) return tl::unexpected(size.error());
  if (*size < sizeof(ArenaHeader))
    return base::fail(base::ErrorCode::kCorrupt, "arena is too small");
  const int protection = read_only ? PROT_READ : PROT_READ | PROT_WRITE;
  void* base = mmap(nullptr, *size, protection, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (base == MAP_FAILED) return base::fail_errno("the arena could not be mapped");
  arena.base_ = base;
  arena.size_ = *size;
  const ArenaHeader& header = arena.header();
  if (header.magic != ArenaHeader::kMagic || header.layout_hash != layout_hash ||
      header.size_bytes != *size) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "arena was made by another version of Ringway; restart that program");
  }
  return arena;
}

}  // namespace ringway::mem
