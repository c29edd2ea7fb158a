#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/address.h"

namespace ringway::wire {

/// A running Internet checksum (RFC 1071). The sum is kept in memory order: byte order does not
/// matter until the end (RFC 1071, 2 (B)), so words are added as they lie.
class Checksum {
 public:
  /// Adds bytes that follow those added before; pieces may have odd lengths.
  void add(std::span<const std::byte> bytes) {
    const std::uint64_t part = bytes.size() < kBulk ? sum_small(bytes) : sum_bulk(bytes);
    add_words(odd_ ? swap_bytes(part) : part);
    odd_ ^= (bytes.size() & 1) != 0;
  }
  /// Adds a 16-bit word given in host order. Only at an even position.
  void add_u16(std::uint16_t host) { add_words(__builtin_bswap16(host)); }
  void add_u32(std::uint32_t host) { add_words(__builtin_bswap32(host)); }

  /// The sum itself, folded, in host order: what csum_needed frames carry in their checksum field.
  std::uint16_t fold() const { return __builtin_bswap16(fold_words(sum_)); }
  /// The value for the checksum field, in host order.
  std::uint16_t finish() const { return static_cast<std::uint16_t>(~fold()); }
  /// As finish(), but never 0: for UDP, where 0 says "no checksum" (RFC 768).
  std::uint16_t finish_udp() const {
    const std::uint16_t value = finish();
    return value == 0 ? 0xffff : value;
  }
  /// True if the bytes added contain a right checksum.
  bool verifies() const { return fold_words(sum_) == 0xffff; }

 private:
  static constexpr std::size_t kBulk = 64;

  void add_words(std::uint64_t words) {
    sum_ += words;
    sum_ += sum_ < words ? 1 : 0;
  }
  static std::uint16_t fold_words(std::uint64_t sum) {
    sum = (sum >> 32) + (sum & 0xffffffffU);
    sum = (sum >> 32) + (sum & 0xffffffffU);
    sum = (sum >> 16) + (sum & 0xffffU);
    sum = (sum >> 16) + (sum & 0xffffU);
    return static_cast<std::uint16_t>(sum);
  }
  static std::uint64_t swap_bytes(std::uint64_t sum) { return __builtin_bswap16(fold_words(sum)); }
  static std::uint64_t sum_small(std::span<const std::byte> bytes) {
    const std::byte* p = bytes.data();
    std::size_t left = bytes.size();
    std::uint64_t sum = 0;
    for (; left >= 4; p += 4, left -= 4) {
      std::uint32_t word;
      std::memcpy(&word, p, sizeof word);
      sum += word;
    }
    if ((left & 2) != 0) {
      std::uint16_t word;
      std::memcpy(&word, p, sizeof word);
      sum += word;
      p += 2;
    }
    if ((left & 1) != 0) sum += static_cast<std::uint8_t>(*p);
    return sum;
  }
  static std::uint64_t sum_bulk(std::span<const std::byte> bytes);

  std::uint64_t sum_ = 0;
  bool odd_ = false;
};

/// The checksum of one contiguous piece, in host order.
inline std::uint16_t internet_checksum(std::span<const std::byte> bytes) {
  Checksum sum;
  sum.add(bytes);
  return sum.finish();
}

/// The sum of a pseudo header (RFC 9293, 3.1; RFC 8200, 8.1). `l4_length` counts header and
/// payload.
inline Checksum pseudo_header(const base::IpAddress& src, const base::IpAddress& dst,
                              std::uint8_t protocol, std::uint32_t l4_length) {
  // An IPv4 address is held as ::ffff:a.b.c.d; only its last four bytes count.
  const std::size_t skip = src.is_v4() ? 12 : 0;
  Checksum sum;
  sum.add(std::as_bytes(std::span(src.bytes)).subspan(skip));
  sum.add(std::as_bytes(std::span(dst.bytes)).subspan(skip));
  sum.add_u32(l4_length);
  sum.add_u16(protocol);
  return sum;
}

/// A checksum field after one 16-bit word of what it covers changed; all in host order
/// (RFC 1624, 3, equation 3).
constexpr std::uint16_t checksum_update(std::uint16_t field, std::uint16_t old_word,
                                        std::uint16_t new_word) {
  std::uint32_t sum = static_cast<std::uint16_t>(~field);
  sum += static_cast<std::uint16_t>(~old_word);
  sum += new_word;
  sum = (sum >> 16) + (sum & 0xffffU);
  sum = (sum >> 16) + (sum & 0xffffU);
  return static_cast<std::uint16_t>(~sum);
}
constexpr std::uint16_t checksum_update32(std::uint16_t field, std::uint32_t old_word,
                                          std::uint32_t new_word) {
  const std::uint16_t half = checksum_update(field, static_cast<std::uint16_t>(old_word >> 16),
                                             static_cast<std::uint16_t>(new_word >> 16));
  return checksum_update(half, static_cast<std::uint16_t>(old_word),
                         static_cast<std::uint16_t>(new_word));
}

}  // namespace ringway::wire
