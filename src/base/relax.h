#pragma once

#include <cpuid.h>
#include <immintrin.h>

namespace ringway::base {

/// Intel's PAUSE takes some 140 cycles since Skylake: longer than a cache line takes to come from
/// the next core. Known once, before main().
inline const bool pause_is_long = [] {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid(0, &a, &b, &c, &d) != 0 && b == signature_INTEL_ebx;
}();

/// Once in every round of a loop that waits for a peer's store. Without it the processor runs
/// rounds ahead, with loads that the store makes void: it starts them all again, and meanwhile asks
/// for the line that the peer wants to write.
inline void relax() {
  if (pause_is_long) {
    _mm_lfence();
  } else {
    _mm_pause();
  }
}

}  // namespace ringway::base
