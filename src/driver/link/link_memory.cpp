#include "driver/link/link_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "mem/arena.h"

namespace ringway::driver {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::uint64_t kMagic = 0x52696e674c6e6b31U;  // "RingLnk1"

constexpr std::size_t round_up(std::size_t n) { return (n + kPage - 1) / kPage * kPage; }

constexpr std::size_t kDirectionBytes = round_up(sizeof(ring::Direction));
constexpr std::size_t kLinkBytes =
    kPage + 2 * kDirectionBytes + 2 * round_up(LinkMemory::kRegionBytes);

/// Tells two builds with different layouts apart.
constexpr std::uint64_t layout_hash() {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (std::uint64_t v : {std::uint64_t{sizeof(ring::Direction)}, std::uint64_t{ring::kSlots},
                          std::uint64_t{ring::kSmallFrames}, std::uint64_t{ring::kSmallSlotBytes},
                          std::uint64_t{ring::kBigFrames}, std::uint64_t{ring::kBigSlotBytes}}) {
    hash = (hash ^ v) * 0x100000001b3U;
  }
  return hash;
}

struct LinkHeader {
  std::uint64_t magic;
  std::uint64_t layout;
};

base::Result<void*> map_shared(int fd, std::size_t bytes) {
  const auto size = mem::check_sealed(fd);
  if (!size) return tl::unexpected(size.error());
  if (*size != bytes)
    return base::fail(base::ErrorCode::kCorrupt, "shared memory has the wrong size");
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  if (base == MAP_FAILED) return base::fail_errno("shared memory could not be mapped");
  madvise(base, bytes, MADV_DONTDUMP);
  return base;
}

}  // namespace

LinkMemory::~LinkMemory() {
  if (base_ != nullptr) munmap(base_, kLinkBytes);
}
LinkMemory::LinkMemory(LinkMemory&& other) noexcept : base_(std::exchange(other.base_, nullptr)) {}
LinkMemory& LinkMemory::operator=(LinkMemory&& other) noexcept {
  std::swap(base_, other.base_);
  return *this;
}

base::Result<int> LinkMemory::create() {
  auto fd = mem::make_sealed_memfd("ringway-link", kLinkBytes);
  if (!fd) return fd;
  const LinkHeader header{kMagic, layout_hash()};
  if (pwrite(*fd, &header, sizeof header, 0) != sizeof header) {
    return base::fail_errno("a new link could not be written");
  }
  return fd;
}

base::Result<LinkMemory> LinkMemory::map(int fd) {
  auto base = map_shared(fd, kLinkBytes);
  if (!base) return tl::unexpected(base.error());
  LinkMemory link;
  link.base_ = static_cast<std::byte*>(*base);
  const LinkHeader header = *static_cast<const LinkHeader*>(*base);
  if (header.magic != kMagic || header.layout != layout_hash()) {
    return base::fail(base::ErrorCode::kCorrupt,
                      "link was made by another version of Ringway; restart both programs");
  }
  return link;
}

ring::Direction& LinkMemory::direction(unsigned index) const {
  return *reinterpret_cast<ring::Direction*>(base_ + kPage + index * kDirectionBytes);
}

std::byte* LinkMemory::region(unsigned index) const {
  return base_ + kPage + 2 * kDirectionBytes + index * round_up(kRegionBytes);
}

MailboxMemory::~MailboxMemory() {
  if (box_ != nullptr) munmap(box_, kPage);
}
MailboxMemory::MailboxMemory(MailboxMemory&& other) noexcept
    : box_(std::exchange(other.box_, nullptr)) {}
MailboxMemory& MailboxMemory::operator=(MailboxMemory&& other) noexcept {
  std::swap(box_, other.box_);
  return *this;
}

base::Result<int> MailboxMemory::create() {
  return mem::make_sealed_memfd("ringway-mailbox", kPage);
}

base::Result<MailboxMemory> MailboxMemory::map(int fd) {
  auto base = map_shared(fd, kPage);
  if (!base) return tl::unexpected(base.error());
  MailboxMemory mailbox;
  mailbox.box_ = static_cast<ring::Mailbox*>(*base);
  return mailbox;
}

}  // namespace ringway::driver
