#include "dump/arena_source.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>

namespace ringway::dump {

using base::ErrorCode;
using base::Result;

namespace {

constexpr std::size_t kPage = 4096;

}  // namespace

ArenaSource::Mapping& ArenaSource::Mapping::operator=(Mapping&& other) noexcept {
  std::swap(at, other.at);
  std::swap(size, other.size);
  return *this;
}

ArenaSource::Mapping::~Mapping() {
  if (at != nullptr) ::munmap(at, size);
}

Result<ArenaSource> ArenaSource::open(int fd, const Layout& layout) {
  const auto size = mem::check_sealed(fd);
  if (!size) return tl::unexpected(size.error());
  if (*size <= kPage) return base::fail(ErrorCode::kUnavailable, "there is nothing to capture");
  void* head = ::mmap(nullptr, kPage, PROT_READ, MAP_SHARED, fd, 0);
  if (head == MAP_FAILED) return base::fail_errno("the arena cannot be mapped");
  const Mapping header(head, kPage);
  const auto& its = *static_cast<const mem::ArenaHeader*>(head);
  if (its.magic != mem::ArenaHeader::kMagic || its.layout_hash != layout.hash ||
      layout.offset > *size || *size - layout.offset < sizeof(mem::CaptureArea)) {
    return base::fail(ErrorCode::kCorrupt,
                      "arena was made by another version of Ringway; restart that program");
  }
  const auto offset = static_cast<off_t>(layout.offset);
  void* control = ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
  if (control == MAP_FAILED) return base::fail_errno("a capture cannot be switched on");
  ArenaSource source;
  source.control_ = Mapping(control, kPage);
  void* area = ::mmap(nullptr, sizeof(mem::CaptureArea), PROT_READ, MAP_SHARED, fd, offset);
  if (area == MAP_FAILED) return base::fail_errno("the capture ring cannot be mapped");
  source.area_ = Mapping(area, sizeof(mem::CaptureArea));
  source.reader_ =
      std::make_unique<mem::CaptureReader>(static_cast<const mem::CaptureArea*>(area)->ring);
  return source;
}

void ArenaSource::renew(base::Instant now, std::uint32_t snap_bytes) {
  auto& capture = *static_cast<mem::CaptureControl*>(control_.at);
  const std::int64_t until = capture.until_ns.load(std::memory_order_relaxed);
  // Somebody else who captures as well may want more of each frame, or have begun later.
  const std::uint32_t wanted =
      until > now.ns ? std::max(snap_bytes, capture.snap_bytes.load(std::memory_order_relaxed))
                     : snap_bytes;
  capture.snap_bytes.store(wanted, std::memory_order_relaxed);
  // A time far ahead can only be damage: it is not kept.
  capture.until_ns.store((now + kLease).ns, std::memory_order_relaxed);
}

}  // namespace ringway::dump
