#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ringway::base {

// Unaligned loads and stores in network byte order. The caller has checked the length.

inline std::uint8_t load_u8(const std::byte* p) { return static_cast<std::uint8_t>(*p); }
inline void store_u8(std::byte* p, std::uint8_t v) { *p = static_cast<std::byte>(v); }

inline std::uint16_t load_be16(const std::byte* p) {
  std::uint16_t v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_bswap16(v);
}
inline std::uint32_t load_be32(const std::byte* p) {
  std::uint32_t v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_bswap32(v);
}
inline std::uint64_t load_be64(const std::byte* p) {
  std::uint64_t v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_bswap64(v);
}
inline void store_be16(std::byte* p, std::uint16_t v) {
  v = __builtin_bswap16(v);
  std::memcpy(p, &v, sizeof v);
}
inline void store_be32(std::byte* p, std::uint32_t v) {
  v = __builtin_bswap32(v);
  std::memcpy(p, &v, sizeof v);
}
inline void store_be64(std::byte* p, std::uint64_t v) {
  v = __builtin_bswap64(v);
  std::memcpy(p, &v, sizeof v);
}

/// memcpy for messages of some hundred bytes at most: vector moves in line, where the compiler
/// would make a `rep movs` of a bounded length, whose start alone costs more than the copy.
inline void copy_small(std::byte* to, const std::byte* from, std::size_t n) {
  using Vector [[gnu::vector_size(16), gnu::aligned(1), gnu::may_alias]] = char;
  const auto move = [&](std::size_t at) {
    *reinterpret_cast<Vector*>(to + at) = *reinterpret_cast<const Vector*>(from + at);
  };
  if (n >= 16) [[likely]] {
    std::size_t at = 0;
    for (; at + 64 <= n; at += 64) {
      move(at);
      move(at + 16);
      move(at + 32);
      move(at + 48);
    }
    for (; at + 16 <= n; at += 16) move(at);
    if (at < n) move(n - 16);  // overlaps what was moved before
    return;
  }
  if (n >= 8) {
    std::uint64_t first;
    std::uint64_t last;
    std::memcpy(&first, from, 8);
    std::memcpy(&last, from + n - 8, 8);
    std::memcpy(to, &first, 8);
    std::memcpy(to + n - 8, &last, 8);
    return;
  }
  for (std::size_t i = 0; i < n; ++i) to[i] = from[i];
}

static_assert(std::endian::native == std::endian::little, "Ringway runs on little-endian machines");

}  // namespace ringway::base
