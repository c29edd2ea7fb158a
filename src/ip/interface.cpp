#include "ip/interface.h"

#include <bit>

#include "wire/nd.h"

namespace ringway::ip {
namespace {

constexpr base::IpAddress kLimitedBroadcast = base::IpAddress::v4(255, 255, 255, 255);
constexpr base::IpAddress kAllHosts = base::IpAddress::v4(224, 0, 0, 1);

// Scopes as far as unicast knows them (RFC 6724, 3.1).
int scope(const base::IpAddress& a) {
  if (a.is_loopback()) return 0;
  if (a.is_multicast() && a.is_v6()) {
    const int multicast = a.bytes[1] & 0x0f;
    return multicast <= 1 ? 0 : multicast == 2 ? 1 : 2;
  }
  return a.is_link_local() ? 1 : 2;
}

unsigned common_bits(const base::IpAddress& a, const base::IpAddress& b) {
  for (unsigned i = 0; i < 16; ++i) {
    const auto differ = static_cast<std::uint8_t>(a.bytes[i] ^ b.bytes[i]);
    if (differ != 0) return i * 8 + static_cast<unsigned>(std::countl_zero(differ));
  }
  return 128;
}

// Higher is better; compared as one number: identity, scope, next hop's subnet, common prefix.
unsigned rank(const base::Prefix& candidate, const base::IpAddress& dst,
              const base::IpAddress& next_hop) {
  const base::IpAddress& a = candidate.address;
  return (a == dst ? 0x8000U : 0U) | (scope(a) == scope(dst) ? 0x4000U : 0U) |
         (candidate.contains(next_hop) ? 0x2000U : 0U) | common_bits(a, dst);
}

}  // namespace

bool Interface::add_address(const base::Prefix& address) {
  for (std::uint32_t i = 0; i < address_count; ++i) {
    if (addresses[i].address == address.address) {
      addresses[i] = address;
      return true;
    }
  }
  if (address_count == kMaxAddresses) return false;
  addresses[address_count++] = address;
  return true;
}

bool Interface::remove_address(const base::IpAddress& address) {
  for (std::uint32_t i = 0; i < address_count; ++i) {
    if (addresses[i].address != address) continue;
    for (std::uint32_t k = i + 1; k < address_count; ++k) addresses[k - 1] = addresses[k];
    --address_count;
    return true;
  }
  return false;
}

bool Interface::join(const base::IpAddress& group) {
  for (std::uint32_t i = 0; i < group_count; ++i) {
    if (groups[i] != group) continue;
    ++group_members[i];
    return true;
  }
  if (group_count == kMaxGroups) return false;
  groups[group_count] = group;
  group_members[group_count++] = 1;
  return true;
}

bool Interface::leave(const base::IpAddress& group) {
  for (std::uint32_t i = 0; i < group_count; ++i) {
    if (groups[i] != group) continue;
    if (--group_members[i] != 0) return true;
    --group_count;
    groups[i] = groups[group_count];
    group_members[i] = group_members[group_count];
    return true;
  }
  return false;
}

bool Interface::is_broadcast(const base::IpAddress& a) const {
  if (!a.is_v4()) return false;
  if (a == kLimitedBroadcast) return true;
  for (std::uint32_t i = 0; i < address_count; ++i) {
    const base::Prefix& p = addresses[i];
    // RFC 3021: a /31 has no broadcast address.
    if (!p.address.is_v4() || p.length >= 31 || !p.contains(a)) continue;
    const std::uint32_t host_bits = p.length == 0 ? ~0U : (1U << (32 - p.length)) - 1;
    if ((a.to_v4() & host_bits) == host_bits && !p.address.is_loopback()) return true;
  }
  return false;
}

bool Interface::listens_to_group(const base::IpAddress& group) const {
  if (group == kAllHosts || group == wire::all_nodes()) return true;
  for (std::uint32_t i = 0; i < group_count; ++i) {
    if (groups[i] == group) return true;
  }
  if (group.is_v4()) return false;
  for (std::uint32_t i = 0; i < address_count; ++i) {
    const base::IpAddress& a = addresses[i].address;
    if (a.is_v6() && wire::solicited_node(a) == group) return true;
  }
  return false;
}

bool Interface::on_link(const base::IpAddress& a) const {
  for (std::uint32_t i = 0; i < address_count; ++i) {
    if (addresses[i].contains(a)) return true;
  }
  return false;
}

const base::IpAddress* Interface::source_for(const base::IpAddress& dst,
                                             const base::IpAddress& next_hop) const {
  const base::Prefix* best = nullptr;
  unsigned best_rank = 0;
  for (std::uint32_t i = 0; i < address_count; ++i) {
    const base::Prefix& candidate = addresses[i];
    if (candidate.address.is_v4() != dst.is_v4()) continue;
    const unsigned r = rank(candidate, dst, next_hop);
    if (best != nullptr && r <= best_rank) continue;
    best = &candidate;
    best_rank = r;
  }
  return best != nullptr ? &best->address : nullptr;
}

}  // namespace ringway::ip
