#pragma once

#include <algorithm>

#include "base/time.h"

namespace ringway::runtime {

/// How long a thread's waits spin before they sleep, learned from how long they lasted.
///
/// A wait that ended while it spun shows that spinning pays: at least the usual time from then on.
/// One that slept, but not for longer than the longest spin, shows how long it should have spun.
/// Every longer one was slept through rightly: a quarter less the next time, so that a program
/// which waits for long spins for a few microseconds only.
class Spin {
 public:
  static constexpr base::Duration kShortest = base::Duration::microseconds(4);
  /// In units of the usual time. A wake-up costs both sides about that (decision 0021).
  static constexpr std::int64_t kMostUsual = 8;

  explicit Spin(base::Duration usual) : usual_(usual), budget_(usual) {}

  base::Duration budget() const { return budget_; }
  base::Duration usual() const { return usual_; }
  void came_while_spinning() { budget_ = std::max(budget_, usual_); }
  /// A wait that slept was over after `lasted`, spinning included.
  void slept(base::Duration lasted) {
    const base::Duration longest{usual_.ns * kMostUsual};
    if (lasted <= longest) {
      budget_ = std::max(budget_, lasted);
    } else {
      budget_.ns = std::max(std::min(kShortest.ns, usual_.ns), budget_.ns - budget_.ns / 4);
    }
  }

 private:
  base::Duration usual_;
  base::Duration budget_;
};

}  // namespace ringway::runtime
