#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"

namespace ringway::traffic {

/// What a generator writes at the start of every UDP payload, so that a receiver can tell latency,
/// loss, duplicates and order. In network order:
///
///   0       2        4                  10                     18
///   +-------+--------+------------------+----------------------+
///   | magic | stream | sequence         | time of sending      |
///   +-------+--------+------------------+----------------------+
///
/// It just fits the smallest Ethernet frame (60 bytes) with IPv4.
struct Stamp {
  static constexpr std::size_t kSize = 18;
  static constexpr std::uint16_t kMagic = 0x5267;
  static constexpr std::uint64_t kSequenceMask = (std::uint64_t{1} << 48) - 1;

  std::uint16_t stream = 0;    ///< tells one run of a generator from another
  std::uint64_t sequence = 0;  ///< 48 bits, from 0
  std::int64_t time_ns = 0;    ///< CLOCK_MONOTONIC: means something on the same machine only

  void emit(std::byte* out) const {
    base::store_be64(out, std::uint64_t{kMagic} << 48 | std::uint64_t{stream} << 32 |
                              (sequence & kSequenceMask) >> 16);
    base::store_be16(out + 8, static_cast<std::uint16_t>(sequence));
    base::store_be64(out + 10, static_cast<std::uint64_t>(time_ns));
  }
  static std::optional<Stamp> parse(std::span<const std::byte> bytes) {
    if (bytes.size() < kSize) return std::nullopt;
    const std::uint64_t first = base::load_be64(bytes.data());
    if (first >> 48 != kMagic) return std::nullopt;
    return Stamp{static_cast<std::uint16_t>(first >> 32),
                 (first & 0xffff'ffffU) << 16 | base::load_be16(bytes.data() + 8),
                 static_cast<std::int64_t>(base::load_be64(bytes.data() + 10))};
  }
};

}  // namespace ringway::traffic
