#pragma once

#include <utility>

#include "base/sys.h"

namespace ringway::base {

/// Owns one file descriptor; -1 is none. Closed by a direct system call, errno is kept.
class UniqueFd {
 public:
  UniqueFd() = default;
  /// Takes ownership of `fd`.
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  /// The caller owns the descriptor from here on.
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    const int old = std::exchange(fd_, fd);
    if (old < 0) return;
    const int saved = errno;
    sys::close(old);
    errno = saved;
  }
  /// A second descriptor (close-on-exec) of the same open file; none if the table is full.
  UniqueFd duplicate() const {
    return UniqueFd(fd_ < 0 ? -1 : sys::fcntl(fd_, F_DUPFD_CLOEXEC, 0));
  }

 private:
  int fd_ = -1;
};

}  // namespace ringway::base
