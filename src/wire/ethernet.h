#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "base/address.h"
#include "base/bytes.h"
#include "wire/protocol.h"

namespace ringway::wire {

/// An Ethernet II header (IEEE 802.3, 3.2). A length in place of the type is kept as it is.
struct EthernetHeader {
  static constexpr std::size_t kSize = 14;

  base::MacAddress dst;
  base::MacAddress src;
  EtherType type = EtherType::kIpv4;

  static std::optional<EthernetHeader> parse(std::span<const std::byte> bytes) {
    if (bytes.size() < kSize) return std::nullopt;
    EthernetHeader h;
    std::memcpy(h.dst.bytes.data(), bytes.data(), 6);
    std::memcpy(h.src.bytes.data(), bytes.data() + 6, 6);
    h.type = static_cast<EtherType>(base::load_be16(bytes.data() + 12));
    return h;
  }
  /// Writes kSize bytes.
  void emit(std::byte* out) const {
    std::memcpy(out, dst.bytes.data(), 6);
    std::memcpy(out + 6, src.bytes.data(), 6);
    base::store_be16(out + 12, static_cast<std::uint16_t>(type));
  }
};

/// What follows the EtherType 0x8100 (IEEE 802.1Q, 9.6): tag control information and the next type.
struct VlanTag {
  static constexpr std::size_t kSize = 4;

  std::uint8_t priority = 0;  // 3 bits
  bool drop_eligible = false;
  std::uint16_t id = 0;  // 12 bits
  EtherType type = EtherType::kIpv4;

  static std::optional<VlanTag> parse(std::span<const std::byte> bytes) {
    if (bytes.size() < kSize) return std::nullopt;
    const std::uint16_t tci = base::load_be16(bytes.data());
    return VlanTag{static_cast<std::uint8_t>(tci >> 13), (tci & 0x1000) != 0,
                   static_cast<std::uint16_t>(tci & 0x0fff),
                   static_cast<EtherType>(base::load_be16(bytes.data() + 2))};
  }
  void emit(std::byte* out) const {
    base::store_be16(out, static_cast<std::uint16_t>(priority << 13 | (drop_eligible ? 0x1000 : 0) |
                                                     (id & 0x0fff)));
    base::store_be16(out + 2, static_cast<std::uint16_t>(type));
  }
};

/// The group address of an IPv4 multicast address (RFC 1112, 6.4) or of an IPv6 one (RFC 2464, 7).
inline base::MacAddress multicast_mac(const base::IpAddress& group) {
  const auto& b = group.bytes;
  if (group.is_v4()) {
    return {{0x01, 0x00, 0x5e, static_cast<std::uint8_t>(b[13] & 0x7f), b[14], b[15]}};
  }
  return {{0x33, 0x33, b[12], b[13], b[14], b[15]}};
}

}  // namespace ringway::wire
