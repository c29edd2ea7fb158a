#pragma once

#include <cstdint>

namespace ringway::base {

/// A small seeded generator (xorshift64*, Vigna 2016). Plain data: it lives in arenas.
/// Not for secrets: those are drawn by runtime and passed in.
struct Random {
  std::uint64_t state = 0x9e3779b97f4a7c15U;

  static constexpr Random seeded(std::uint64_t seed) {
    Random r;
    r.state = mix(seed + 0x9e3779b97f4a7c15U);
    if (r.state == 0) r.state = 1;
    return r;
  }
  constexpr std::uint64_t next() {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dU;
  }
  /// Uniform in [0, bound); bound must not be 0.
  constexpr std::uint32_t below(std::uint32_t bound) {
    return static_cast<std::uint32_t>(((next() >> 32) * bound) >> 32);
  }
  /// True with probability `numerator` in a million.
  constexpr bool chance_ppm(std::uint32_t numerator) { return below(1'000'000) < numerator; }

  /// SplitMix64's finalizer: a good 64-bit hash of a word.
  static constexpr std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }
};

}  // namespace ringway::base
