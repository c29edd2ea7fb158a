#include "wire/nd.h"

#include <cstring>

namespace ringway::wire {
namespace {

// RFC 4861, 4.6.
enum OptionType : std::uint8_t {
  kSourceMac = 1,
  kTargetMac = 2,
  kPrefixInformation = 3,
  kMtu = 5,
};

constexpr std::size_t kMacOptionSize = 8;
constexpr std::size_t kPrefixOptionSize = 32;
constexpr std::size_t kMtuOptionSize = 8;

// The header of a message of this type and its least length, or nullopt. RFC 4861, 6.1 and 7.1:
// code 0.
std::optional<IcmpHeader> header(std::span<const std::byte> message, Icmpv6Type type,
                                 std::size_t least) {
  if (message.size() < least) return std::nullopt;
  const auto h = IcmpHeader::parse(message);
  const bool right = h && h->type == static_cast<std::uint8_t>(type) && h->code == 0;
  return right ? h : std::nullopt;
}

// RFC 4861, 7.1: no multicast; and no mapped address, which would be taken for IPv4.
bool valid_target(const base::IpAddress& a) { return !a.is_multicast() && !a.is_v4(); }

// Calls take(type, option) for each option, length fields included. False if one is malformed.
template <typename Take>
bool each_option(std::span<const std::byte> options, Take&& take) {
  while (!options.empty()) {
    if (options.size() < 8) return false;
    const std::size_t length = base::load_u8(&options[1]) * 8U;
    if (length == 0 || length > options.size()) return false;
    take(base::load_u8(options.data()), options.first(length));
    options = options.subspan(length);
  }
  return true;
}

// RFC 2464, 6: the option is 8 bytes for Ethernet.
std::optional<base::MacAddress> mac_of(std::span<const std::byte> option) {
  if (option.size() != kMacOptionSize) return std::nullopt;
  base::MacAddress mac;
  std::memcpy(mac.bytes.data(), &option[2], 6);
  return mac;
}

bool find_mac(std::span<const std::byte> options, std::uint8_t wanted,
              std::optional<base::MacAddress>& mac) {
  return each_option(options, [&](std::uint8_t type, std::span<const std::byte> option) {
    if (type == wanted) mac = mac_of(option);
  });
}

std::byte* put_mac(std::byte* out, std::uint8_t type, const std::optional<base::MacAddress>& mac) {
  if (!mac) return out;
  base::store_u8(out, type);
  base::store_u8(out + 1, 1);
  std::memcpy(out + 2, mac->bytes.data(), 6);
  return out + kMacOptionSize;
}

void put_header(std::byte* out, Icmpv6Type type, std::uint32_t rest) {
  IcmpHeader{static_cast<std::uint8_t>(type), 0, rest}.emit(out);
}

// RFC 4861, 4.6.2.
void take_prefix(std::span<const std::byte> option, RouterAdvertisement& ra) {
  const bool fits = ra.prefix_count < RouterAdvertisement::kMaxPrefixes;
  if (option.size() != kPrefixOptionSize || base::load_u8(&option[2]) > 128 || !fits) return;
  const std::uint8_t flags = base::load_u8(&option[3]);
  if (base::IpAddress::from_v6_bytes(&option[16]).is_v4()) return;
  NdPrefix& p = ra.prefixes[ra.prefix_count++];
  p.prefix = {base::IpAddress::from_v6_bytes(&option[16]), base::load_u8(&option[2])};
  p.on_link = (flags & 0x80) != 0;
  p.autonomous = (flags & 0x40) != 0;
  p.valid_seconds = base::load_be32(&option[4]);
  p.preferred_seconds = base::load_be32(&option[8]);
}

std::byte* put_prefix(std::byte* out, const NdPrefix& p) {
  base::store_u8(out, kPrefixInformation);
  base::store_u8(out + 1, 4);
  base::store_u8(out + 2, p.prefix.length);
  base::store_u8(out + 3,
                 static_cast<std::uint8_t>((p.on_link ? 0x80 : 0) | (p.autonomous ? 0x40 : 0)));
  base::store_be32(out + 4, p.valid_seconds);
  base::store_be32(out + 8, p.preferred_seconds);
  base::store_be32(out + 12, 0);
  std::memcpy(out + 16, p.prefix.address.bytes.data(), 16);
  return out + kPrefixOptionSize;
}

}  // namespace

std::optional<RouterSolicitation> RouterSolicitation::parse(std::span<const std::byte> message) {
  RouterSolicitation rs;
  if (!header(message, Icmpv6Type::kRouterSolicitation, 8)) return std::nullopt;
  if (!find_mac(message.subspan(8), kSourceMac, rs.source_mac)) return std::nullopt;
  return rs;
}

void RouterSolicitation::emit(std::byte* out) const {
  put_header(out, Icmpv6Type::kRouterSolicitation, 0);
  put_mac(out + 8, kSourceMac, source_mac);
}

std::optional<NeighborSolicitation> NeighborSolicitation::parse(
    std::span<const std::byte> message) {
  NeighborSolicitation ns;
  if (!header(message, Icmpv6Type::kNeighborSolicitation, 24)) return std::nullopt;
  ns.target = base::IpAddress::from_v6_bytes(&message[8]);
  if (!valid_target(ns.target)) return std::nullopt;
  if (!find_mac(message.subspan(24), kSourceMac, ns.source_mac)) return std::nullopt;
  return ns;
}

void NeighborSolicitation::emit(std::byte* out) const {
  put_header(out, Icmpv6Type::kNeighborSolicitation, 0);
  std::memcpy(out + 8, target.bytes.data(), 16);
  put_mac(out + 24, kSourceMac, source_mac);
}

std::optional<NeighborAdvertisement> NeighborAdvertisement::parse(
    std::span<const std::byte> message) {
  NeighborAdvertisement na;
  const auto h = header(message, Icmpv6Type::kNeighborAdvertisement, 24);
  if (!h) return std::nullopt;
  na.router = (h->rest & 0x80000000U) != 0;
  na.solicited = (h->rest & 0x40000000U) != 0;
  na.override_entry = (h->rest & 0x20000000U) != 0;
  na.target = base::IpAddress::from_v6_bytes(&message[8]);
  if (!valid_target(na.target)) return std::nullopt;
  if (!find_mac(message.subspan(24), kTargetMac, na.target_mac)) return std::nullopt;
  return na;
}

void NeighborAdvertisement::emit(std::byte* out) const {
  put_header(out, Icmpv6Type::kNeighborAdvertisement,
             (router ? 0x80000000U : 0U) | (solicited ? 0x40000000U : 0U) |
                 (override_entry ? 0x20000000U : 0U));
  std::memcpy(out + 8, target.bytes.data(), 16);
  put_mac(out + 24, kTargetMac, target_mac);
}

std::optional<RouterAdvertisement> RouterAdvertisement::parse(std::span<const std::byte> message) {
  const auto h = header(message, Icmpv6Type::kRouterAdvertisement, 16);
  if (!h) return std::nullopt;
  RouterAdvertisement ra;
  ra.hop_limit = static_cast<std::uint8_t>(h->rest >> 24);
  ra.managed = (h->rest & 0x800000) != 0;
  ra.other_config = (h->rest & 0x400000) != 0;
  ra.router_lifetime_seconds = static_cast<std::uint16_t>(h->rest);
  ra.reachable_ms = base::load_be32(&message[8]);
  ra.retransmit_ms = base::load_be32(&message[12]);
  const bool sound =
      each_option(message.subspan(16), [&ra](std::uint8_t type, std::span<const std::byte> option) {
        if (type == kSourceMac) ra.source_mac = mac_of(option);
        if (type == kMtu && option.size() == kMtuOptionSize) ra.mtu = base::load_be32(&option[4]);
        if (type == kPrefixInformation) take_prefix(option, ra);
      });
  return sound ? std::optional(ra) : std::nullopt;
}

void RouterAdvertisement::emit(std::byte* out) const {
  put_header(out, Icmpv6Type::kRouterAdvertisement,
             static_cast<std::uint32_t>(hop_limit) << 24 | (managed ? 0x800000U : 0U) |
                 (other_config ? 0x400000U : 0U) | router_lifetime_seconds);
  base::store_be32(out + 8, reachable_ms);
  base::store_be32(out + 12, retransmit_ms);
  out = put_mac(out + 16, kSourceMac, source_mac);
  if (mtu != 0) {
    base::store_be32(out, 0x05010000);
    base::store_be32(out + 4, mtu);
    out += kMtuOptionSize;
  }
  for (std::size_t i = 0; i < prefix_count; ++i) out = put_prefix(out, prefixes[i]);
}

}  // namespace ringway::wire
