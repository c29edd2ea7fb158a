#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "base/time.h"
#include "base/unique_fd.h"
#include "mem/arena.h"
#include "mem/capture.h"

namespace ringway::dump {

/// The capture ring of a running program's arena. Only the page that says until when the capture is
/// on is mapped for writing. It has to be renewed; when whoever captures is killed, the program
/// stops recording a second later and never waits.
class ArenaSource {
 public:
  static constexpr base::Duration kLease = base::Duration::seconds(1);
  static constexpr base::Duration kRenew = base::Duration::milliseconds(250);

  /// Where an arena has its mem::CaptureArea, and what its layout is to be.
  struct Layout {
    std::uint64_t hash;
    std::size_t offset;
  };

  /// `fd` must be open for reading and writing; it is only needed during the call. Errors: kCorrupt
  /// for what is no arena of that layout, kUnavailable if its owner has nothing to capture.
  static base::Result<ArenaSource> open(int fd, const Layout& layout);
  ArenaSource(ArenaSource&&) = default;
  ArenaSource& operator=(ArenaSource&&) = default;

  /// Keeps the capture on. To be called every kRenew.
  void renew(base::Instant now, std::uint32_t snap_bytes);
  bool next(mem::CaptureRecord& record, std::span<std::byte> into) {
    return reader_->next(record, into);
  }
  std::uint64_t lost() const { return reader_->lost(); }

 private:
  struct Mapping {
    void* at = nullptr;
    std::size_t size = 0;
    Mapping() = default;
    Mapping(void* where, std::size_t bytes) : at(where), size(bytes) {}
    Mapping(Mapping&& other) noexcept { *this = std::move(other); }
    Mapping& operator=(Mapping&& other) noexcept;
    ~Mapping();
  };

  ArenaSource() = default;

  Mapping control_;
  Mapping area_;
  std::unique_ptr<mem::CaptureReader> reader_;
};

}  // namespace ringway::dump
