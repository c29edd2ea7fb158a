#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace ringway::bridge {

/// Lets through so many frames a second, and a tenth of a second's worth at once.
class StormLimit {
 public:
  /// 0: everything.
  explicit StormLimit(std::uint32_t per_second) : per_second_(per_second) {}

  bool take(base::Instant now) {
    if (per_second_ == 0) return true;
    const std::int64_t gap_ns = std::max<std::int64_t>(1'000'000'000 / per_second_, 1);
    constexpr std::int64_t kBurstNs = 100'000'000;
    const std::int64_t next = std::max(next_ns_, now.ns - kBurstNs);
    if (next > now.ns) return false;
    next_ns_ = next + gap_ns;
    return true;
  }

 private:
  std::uint32_t per_second_;
  std::int64_t next_ns_ = 0;
};

}  // namespace ringway::bridge
