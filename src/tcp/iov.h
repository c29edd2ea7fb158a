#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace ringway::tcp {

/// Walks the pieces of a user's scattered buffer.
class IovCursor {
 public:
  explicit IovCursor(std::span<const iovec> pieces) : pieces_(pieces) {}

  static std::size_t total(std::span<const iovec> pieces) {
    if (pieces.size() == 1) return pieces[0].iov_len;
    std::size_t n = 0;
    for (const iovec& piece : pieces) n += piece.iov_len;
    return n;
  }
  /// The next contiguous piece, at most `limit` bytes; empty: the end.
  std::span<std::byte> next(std::size_t limit) {
    while (!pieces_.empty()) {
      const iovec& piece = pieces_.front();
      const std::size_t n = std::min(limit, piece.iov_len - at_);
      std::byte* p = static_cast<std::byte*>(piece.iov_base) + at_;
      at_ += n;
      if (at_ == piece.iov_len) {
        pieces_ = pieces_.subspan(1);
        at_ = 0;
      }
      if (n != 0) return {p, n};
    }
    return {};
  }
  /// Copies exactly `length` bytes, which must be there.
  void copy_to(std::byte* out, std::size_t length) {
    while (length != 0) {
      const auto piece = next(length);
      if (piece.empty()) return;
      std::memcpy(out, piece.data(), piece.size());
      out += piece.size();
      length -= piece.size();
    }
  }

 private:
  std::span<const iovec> pieces_;
  std::size_t at_ = 0;
};

}  // namespace ringway::tcp
