#pragma once

#include <array>
#include <cstdint>

#include "base/address.h"
#include "base/time.h"

namespace ringway::ip {

constexpr std::uint32_t kMaxInterfaces = 16;

/// One place where IP meets ports: an external port, or all links of the stack together.
/// Plain data in the arena; all zero is an interface that is not in use.
struct Interface {
  static constexpr std::uint32_t kMaxAddresses = 8;
  static constexpr std::uint32_t kMaxGroups = 16;

  bool up;
  bool neighbours_known;     ///< no ARP or ND: every frame reaches the right peer
  bool neighbours_external;  ///< somebody else asks them: see Ip::set_neighbour()
  std::uint8_t hop_limit;    ///< of what we send; 0: 64
  std::uint8_t address_count;
  std::uint8_t group_count;
  base::MacAddress mac;
  std::uint16_t mtu;
  base::Instant defend_at;  ///< no defence of an address before this (RFC 5227, 2.4)
  std::array<base::Prefix, kMaxAddresses> addresses;
  std::array<base::IpAddress, kMaxGroups> groups;       ///< joined multicast groups
  std::array<std::uint16_t, kMaxGroups> group_members;  ///< how many sockets joined each

  /// False if the table is full. An address that is there already is given the new prefix length.
  bool add_address(const base::Prefix& address);
  bool remove_address(const base::IpAddress& address);
  /// False if the table is full.
  bool join(const base::IpAddress& group);
  bool leave(const base::IpAddress& group);

  /// One of our addresses; of a loopback prefix, every address (127.0.0.0/8).
  bool owns(const base::IpAddress& a) const {
    for (std::uint32_t i = 0; i < address_count; ++i) {
      if (addresses[i].address == a) return true;
      if (a.is_loopback() && addresses[i].contains(a)) return true;
    }
    return false;
  }
  /// 255.255.255.255, or the highest address of one of our IPv4 subnets.
  bool is_broadcast(const base::IpAddress& a) const;
  /// Joined, all-nodes, all-hosts or the solicited-node group of one of our addresses.
  bool listens_to_group(const base::IpAddress& group) const;
  /// True if one of our prefixes covers it.
  bool on_link(const base::IpAddress& a) const;
  /// The best of our addresses to reach `dst` by way of `next_hop` (a subset of RFC 6724, 5: same
  /// address, same scope, longest matching prefix). nullptr: none of this family.
  const base::IpAddress* source_for(const base::IpAddress& dst,
                                    const base::IpAddress& next_hop) const;
};

}  // namespace ringway::ip
