#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/address.h"
#include "base/bytes.h"
#include "wire/checksum.h"
#include "wire/protocol.h"

namespace ringway::wire {

/// A UDP header (RFC 768).
struct UdpHeader {
  static constexpr std::size_t kSize = 8;

  std::uint16_t src_port = 0;
  std::uint16_t dst_port = 0;
  std::uint16_t length = kSize;  // header and payload
  std::uint16_t checksum = 0;    // 0: none

  /// `length` has been compared with the header's own size; the caller compares it with the packet.
  static std::optional<UdpHeader> parse(std::span<const std::byte> bytes) {
    if (bytes.size() < kSize) return std::nullopt;
    const std::byte* p = bytes.data();
    const UdpHeader h{base::load_be16(p), base::load_be16(p + 2), base::load_be16(p + 4),
                      base::load_be16(p + 6)};
    return h.length >= kSize ? std::optional(h) : std::nullopt;
  }
  /// Writes kSize bytes, the checksum as it stands in `checksum`.
  void emit(std::byte* out) const {
    base::store_be16(out, src_port);
    base::store_be16(out + 2, dst_port);
    base::store_be16(out + 4, length);
    base::store_be16(out + 6, checksum);
  }
};

/// Fills in the checksum of the datagram at `datagram` (header and payload, contiguous).
inline void finish_udp(std::span<std::byte> datagram, const base::IpAddress& src,
                       const base::IpAddress& dst) {
  base::store_be16(datagram.data() + 6, 0);
  Checksum sum = pseudo_header(src, dst, static_cast<std::uint8_t>(Protocol::kUdp),
                               static_cast<std::uint32_t>(datagram.size()));
  sum.add(datagram);
  base::store_be16(datagram.data() + 6, sum.finish_udp());
}

}  // namespace ringway::wire
