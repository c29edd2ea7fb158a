#pragma once

#include <compare>
#include <cstdint>

namespace ringway::base {

/// A 32-bit sequence number that wraps (RFC 9293, 3.4): comparisons hold within half of the space.
struct SeqNum {
  std::uint32_t value = 0;

  constexpr bool operator==(const SeqNum&) const = default;
  constexpr SeqNum operator+(std::uint32_t n) const { return {value + n}; }
  constexpr SeqNum operator-(std::uint32_t n) const { return {value - n}; }
  constexpr SeqNum& operator+=(std::uint32_t n) {
    value += n;
    return *this;
  }
  /// Signed distance from `other` to this.
  constexpr std::int32_t operator-(SeqNum other) const {
    return static_cast<std::int32_t>(value - other.value);
  }
  constexpr bool operator<(SeqNum o) const { return *this - o < 0; }
  constexpr bool operator<=(SeqNum o) const { return *this - o <= 0; }
  constexpr bool operator>(SeqNum o) const { return *this - o > 0; }
  constexpr bool operator>=(SeqNum o) const { return *this - o >= 0; }
};

constexpr SeqNum max(SeqNum a, SeqNum b) { return a < b ? b : a; }
constexpr SeqNum min(SeqNum a, SeqNum b) { return a < b ? a : b; }

}  // namespace ringway::base
