#pragma once

#include <cstdint>

#include "base/sys.h"

namespace ringway::driver::memif {

/// Wakes whoever sleeps on the eventfd.
inline void ring_bell(int fd) {
  const std::uint64_t one = 1;
  static_cast<void>(base::sys::write(fd, &one, sizeof one));  // a full counter is readable already
}

}  // namespace ringway::driver::memif
