#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"
#include "traffic/pattern.h"

namespace ringway::traffic {

/// Says when the next frame of a steady rate is due. Counts in picoseconds, so that the gap of
/// 14.88 Mpps is no whole number of nanoseconds too short.
class Pacer {
 public:
  explicit Pacer(const Rate& rate) : rate_(rate) {}

  bool due(base::Instant now) {
    if (rate_.per_second == 0) return true;
    const std::int64_t now_ps = now.ns * 1000;
    if (!started_) {
      started_ = true;
      next_ps_ = now_ps;
    }
    // Who was away longer does not make up for it with a burst that no queue holds.
    next_ps_ = std::max(next_ps_, now_ps - kMostBehind.ns * 1000);
    return next_ps_ <= now_ps;
  }
  /// A frame of `bytes` was made.
  void spend(std::uint32_t bytes) {
    if (rate_.per_second == 0) return;
    const std::uint64_t units = rate_.bits ? std::uint64_t{bytes} * 8 : 1;
    next_ps_ += static_cast<std::int64_t>(units * kSecondPs / rate_.per_second);
  }
  /// When due() will be true next; the origin if it is now or always.
  base::Instant next() const { return {rate_.per_second == 0 ? 0 : (next_ps_ + 999) / 1000}; }

 private:
  static constexpr std::uint64_t kSecondPs = 1'000'000'000'000;
  static constexpr base::Duration kMostBehind = base::Duration::milliseconds(10);

  Rate rate_;
  bool started_ = false;
  std::int64_t next_ps_ = 0;
};

}  // namespace ringway::traffic
