#pragma once

#include <compare>
#include <cstdint>

namespace ringway::base {

/// A length of time in nanoseconds; may be negative. Trivially copyable: it lives in arenas.
struct Duration {
  std::int64_t ns = 0;

  static constexpr Duration nanoseconds(std::int64_t n) { return {n}; }
  static constexpr Duration microseconds(std::int64_t n) { return {n * 1'000}; }
  static constexpr Duration milliseconds(std::int64_t n) { return {n * 1'000'000}; }
  static constexpr Duration seconds(std::int64_t n) { return {n * 1'000'000'000}; }
  static constexpr Duration infinite() { return {INT64_MAX}; }

  constexpr std::int64_t microseconds() const { return ns / 1'000; }
  constexpr std::int64_t milliseconds() const { return ns / 1'000'000; }

  constexpr auto operator<=>(const Duration&) const = default;
  constexpr Duration operator+(Duration d) const { return {ns + d.ns}; }
  constexpr Duration operator-(Duration d) const { return {ns - d.ns}; }
  constexpr Duration operator*(std::int64_t k) const { return {ns * k}; }
  constexpr Duration operator/(std::int64_t k) const { return {ns / k}; }
};

/// A point of monotone time in nanoseconds since an origin of the runtime's choice. 0 is the
/// origin.
struct Instant {
  std::int64_t ns = 0;

  static constexpr Instant never() { return {INT64_MAX}; }
  constexpr bool is_never() const { return ns == INT64_MAX; }

  constexpr auto operator<=>(const Instant&) const = default;
  constexpr Instant operator+(Duration d) const {
    return d.ns == INT64_MAX || ns == INT64_MAX ? never() : Instant{ns + d.ns};
  }
  constexpr Instant operator-(Duration d) const { return {ns - d.ns}; }
  constexpr Duration operator-(Instant i) const { return {ns - i.ns}; }
};

}  // namespace ringway::base
