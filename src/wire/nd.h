#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/address.h"
#include "wire/icmp.h"

namespace ringway::wire {

// Neighbour discovery (RFC 4861, 4). Each parse takes a whole ICMPv6 message, header included,
// whose checksum has been verified; the caller checks that the hop limit is 255 (RFC
// 4861, 6.1, 7.1). Each emit writes size() bytes with a checksum of 0: see finish_icmpv6(). Unknown
// options are skipped; an option of length 0 makes the whole message invalid.

constexpr std::uint8_t kNdHopLimit = 255;

struct RouterSolicitation {
  std::optional<base::MacAddress> source_mac;

  static std::optional<RouterSolicitation> parse(std::span<const std::byte> message);
  std::size_t size() const { return 8U + (source_mac ? 8U : 0U); }
  void emit(std::byte* out) const;
};

struct NeighborSolicitation {
  base::IpAddress target;
  std::optional<base::MacAddress> source_mac;

  static std::optional<NeighborSolicitation> parse(std::span<const std::byte> message);
  std::size_t size() const { return 24U + (source_mac ? 8U : 0U); }
  void emit(std::byte* out) const;
};

struct NeighborAdvertisement {
  base::IpAddress target;
  bool router = false;
  bool solicited = false;
  bool override_entry = false;
  std::optional<base::MacAddress> target_mac;

  static std::optional<NeighborAdvertisement> parse(std::span<const std::byte> message);
  std::size_t size() const { return 24U + (target_mac ? 8U : 0U); }
  void emit(std::byte* out) const;
};

/// A prefix information option (RFC 4861, 4.6.2). Lifetimes in seconds, all ones is for ever.
struct NdPrefix {
  base::Prefix prefix;
  bool on_link = false;
  bool autonomous = false;
  std::uint32_t valid_seconds = 0;
  std::uint32_t preferred_seconds = 0;
};

struct RouterAdvertisement {
  static constexpr std::size_t kMaxPrefixes = 4;  // more are skipped

  std::uint8_t hop_limit = 0;  // 0: unspecified
  bool managed = false;
  bool other_config = false;
  std::uint16_t router_lifetime_seconds = 0;  // 0: no default router
  std::uint32_t reachable_ms = 0;             // 0: unspecified
  std::uint32_t retransmit_ms = 0;            // 0: unspecified
  std::uint32_t mtu = 0;                      // 0: no such option
  std::optional<base::MacAddress> source_mac;
  std::uint8_t prefix_count = 0;
  std::array<NdPrefix, kMaxPrefixes> prefixes{};

  static std::optional<RouterAdvertisement> parse(std::span<const std::byte> message);
  std::size_t size() const {
    return 16U + (source_mac ? 8U : 0U) + (mtu != 0 ? 8U : 0U) + 32U * prefix_count;
  }
  void emit(std::byte* out) const;
};

/// ff02::1:ffXX:XXXX for a unicast address (RFC 4291, 2.7.1).
inline base::IpAddress solicited_node(const base::IpAddress& a) {
  return {{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a.bytes[13], a.bytes[14], a.bytes[15]}};
}
constexpr base::IpAddress all_nodes() {
  return {{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
}
constexpr base::IpAddress all_routers() {
  return {{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}};
}

}  // namespace ringway::wire
