#pragma once

#include <time.h>

#include "base/time.h"

namespace ringway::cli {

/// CLOCK_MONOTONIC, the same for all processes of this machine.
inline base::Instant monotonic_now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return {now.tv_sec * 1'000'000'000 + now.tv_nsec};
}

}  // namespace ringway::cli
