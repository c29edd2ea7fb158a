#include "runtime/clock.h"

#include <cpuid.h>
#include <x86intrin.h>

#include <cstdint>

namespace ringway::runtime {

namespace {

base::Instant kernel_now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return {t.tv_sec * 1'000'000'000 + t.tv_nsec};
}

/// CPUID 80000007h, EDX bit 8: the time-stamp counter runs at one rate in every state of the
/// processor.
bool counter_is_invariant() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & 1U << 8) != 0;
}

/// A thread's line from the counter to CLOCK_MONOTONIC. It is laid anew every few milliseconds, so
/// its slope need not be better than that; in between a reading costs a third of the kernel's.
struct Line {
  static constexpr std::uint64_t kValidTicks = 1U << 23;  // some 3 ms
  static constexpr std::uint64_t kSlopeTicks = 1U
                                               << 18;  // some 100 us: the slope is right to 0.1 %

  std::uint64_t ticks = 0;
  std::int64_t ns = 0;
  double ns_per_tick = 0;
  bool usable = false;
  bool probed = false;
};
thread_local Line line;

base::Instant lay_line() {
  Line& l = line;
  const base::Instant now = kernel_now();
  const std::uint64_t ticks = __rdtsc();
  if (!l.probed) {
    l.probed = true;
    l.usable = counter_is_invariant();
  } else if (l.usable) {
    const std::uint64_t passed = ticks - l.ticks;
    if (passed > 1000)
      l.ns_per_tick = static_cast<double>(now.ns - l.ns) / static_cast<double>(passed);
  }
  l.ticks = ticks;
  l.ns = now.ns;
  return now;
}

}  // namespace

base::Instant clock_now() {
  const Line& l = line;
  const std::uint64_t passed = __rdtsc() - l.ticks;
  if (!l.usable || passed > Line::kValidTicks || l.ns_per_tick == 0) [[unlikely]]
    return lay_line();
  return {l.ns + static_cast<std::int64_t>(static_cast<double>(passed) * l.ns_per_tick)};
}

}  // namespace ringway::runtime
