#pragma once

#include <cstdint>

#include "base/time.h"

namespace ringway::ip {

/// A token bucket kept as the time that its debt needs: all zero is a full one.
struct RateLimit {
  base::Instant paid_until;

  /// True if one more is allowed: one per `interval` on average, up to `burst` at once.
  bool allow(base::Instant now, base::Duration interval, std::int64_t burst) {
    const base::Instant start = paid_until < now ? now : paid_until;
    if (start - now > interval * (burst - 1)) return false;
    paid_until = start + interval;
    return true;
  }
};

}  // namespace ringway::ip
