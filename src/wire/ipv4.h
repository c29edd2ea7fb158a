#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "base/address.h"
#include "base/bytes.h"
#include "wire/checksum.h"
#include "wire/protocol.h"

namespace ringway::wire {

/// An IPv4 header (RFC 791, 3.1). Options are skipped on input and never sent.
struct Ipv4Header {
  static constexpr std::size_t kSize = 20;
  static constexpr std::size_t kMaxSize = 60;

  base::IpAddress src = base::IpAddress::any_v4();
  base::IpAddress dst = base::IpAddress::any_v4();
  std::uint16_t total_length = 0;  // header and payload
  std::uint16_t id = 0;
  std::uint16_t fragment_offset = 0;  // bytes, a multiple of 8
  std::uint8_t header_length = kSize;
  std::uint8_t traffic_class = 0;  // DSCP and ECN
  std::uint8_t ttl = 64;
  Protocol protocol = Protocol::kTcp;
  bool dont_fragment = false;
  bool more_fragments = false;

  bool is_fragment() const { return more_fragments || fragment_offset != 0; }
  std::size_t payload_length() const { return total_length - header_length; }

  /// `bytes` starts with the header and holds at least the whole of it. total_length has been
  /// compared with the header's own length only: what was received is compared by the caller, who
  /// may hold the packet in several frames. The checksum is not looked at: see checksum_ok().
  static std::optional<Ipv4Header> parse(std::span<const std::byte> bytes) {
    if (bytes.size() < kSize) return std::nullopt;
    const std::byte* p = bytes.data();
    const std::uint8_t first = base::load_u8(p);
    const std::uint16_t fragment = base::load_be16(p + 6);
    Ipv4Header h;
    h.header_length = static_cast<std::uint8_t>((first & 0x0f) * 4);
    h.traffic_class = base::load_u8(p + 1);
    h.total_length = base::load_be16(p + 2);
    h.id = base::load_be16(p + 4);
    h.fragment_offset = static_cast<std::uint16_t>((fragment & 0x1fff) * 8);
    h.dont_fragment = (fragment & 0x4000) != 0;
    h.more_fragments = (fragment & 0x2000) != 0;
    h.ttl = base::load_u8(p + 8);
    h.protocol = static_cast<Protocol>(base::load_u8(p + 9));
    h.src = base::IpAddress::from_v4_bytes(p + 12);
    h.dst = base::IpAddress::from_v4_bytes(p + 16);
    const bool sound = (first >> 4) == 4 && h.header_length >= kSize &&
                       h.header_length <= bytes.size() && h.total_length >= h.header_length;
    return sound ? std::optional(h) : std::nullopt;
  }

  /// `header` is exactly the header, options included.
  static bool checksum_ok(std::span<const std::byte> header) {
    Checksum sum;
    sum.add(header);
    return sum.verifies();
  }

  /// Writes kSize bytes, with a right checksum.
  void emit(std::byte* out) const {
    emit_without_checksum(out);
    base::store_be16(out + 10, internet_checksum({out, kSize}));
  }
  /// For ports whose memory cannot be corrupted: the checksum field is 0.
  void emit_without_checksum(std::byte* out) const {
    const unsigned flags = (dont_fragment ? 0x4000U : 0U) | (more_fragments ? 0x2000U : 0U);
    base::store_be32(out,
                     0x45000000U | static_cast<std::uint32_t>(traffic_class) << 16 | total_length);
    base::store_be32(
        out + 4, static_cast<std::uint32_t>(id) << 16 | flags | (fragment_offset / 8U & 0x1fff));
    base::store_be32(out + 8, static_cast<std::uint32_t>(ttl) << 24 |
                                  static_cast<std::uint32_t>(protocol) << 16);
    std::memcpy(out + 12, src.bytes.data() + 12, 4);
    std::memcpy(out + 16, dst.bytes.data() + 12, 4);
  }
};

}  // namespace ringway::wire
