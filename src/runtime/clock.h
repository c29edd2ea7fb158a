#pragma once

#include <time.h>

#include "base/time.h"

namespace ringway::runtime {

/// CLOCK_MONOTONIC: the only clock of the system below the front ends.
base::Instant clock_now();

/// For ppoll: the time from now to `deadline`, none for never. Returns nullptr for never.
inline const timespec* until(base::Instant deadline, base::Instant now, timespec& room) {
  if (deadline.is_never()) return nullptr;
  const std::int64_t ns = deadline > now ? (deadline - now).ns : 0;
  room = {ns / 1'000'000'000, ns % 1'000'000'000};
  return &room;
}

}  // namespace ringway::runtime
