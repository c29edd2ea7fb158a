#include "driver/xdp/xdp_checksum.h"

#include "base/bytes.h"
#include "wire/checksum.h"

namespace ringway::driver::xdp {
namespace {

constexpr std::uint32_t kEthernet = 14;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;

struct Transport {
  ChecksumPlace place;
  std::uint16_t pseudo = 0;  ///< the pseudo header's sum, folded
};

/// Of a whole IPv4 or IPv6 packet without VLAN tag, fragments or extension headers: the rest takes
/// the way of frames from a wire.
std::optional<Transport> transport_of(std::span<const std::byte> frame, std::uint32_t length) {
  if (frame.size() < kEthernet + 20 + 8) return std::nullopt;
  const std::byte* ip = frame.data() + kEthernet;
  const std::uint16_t type = base::load_be16(frame.data() + 12);
  base::IpAddress src;
  base::IpAddress dst;
  std::uint8_t protocol = 0;
  std::uint32_t header = 0;
  std::uint32_t l4_length = 0;
  if (type == 0x0800) {
    header = (base::load_u8(ip) & 0xfU) * 4U;
    const std::uint32_t total = base::load_be16(ip + 2);
    const bool plain = header >= 20 && (base::load_be16(ip + 6) & 0x3fff) == 0 && total > header &&
                       total + kEthernet <= length;
    if (!plain) return std::nullopt;
    src = base::IpAddress::from_v4_bytes(ip + 12);
    dst = base::IpAddress::from_v4_bytes(ip + 16);
    protocol = base::load_u8(ip + 9);
    l4_length = total - header;
  } else if (type == 0x86dd && frame.size() >= kEthernet + 40 + 8) {
    header = 40;
    src = base::IpAddress::from_v6_bytes(ip + 8);
    dst = base::IpAddress::from_v6_bytes(ip + 24);
    protocol = base::load_u8(ip + 6);
    l4_length = base::load_be16(ip + 4);
    if (l4_length + kEthernet + header > length) return std::nullopt;
  }
  if (protocol != kTcp && protocol != kUdp) return std::nullopt;
  const std::uint32_t offset = protocol == kTcp ? 16 : 6;
  if (kEthernet + header + offset + 2 > frame.size() || l4_length < offset + 2) return std::nullopt;
  Transport t;
  t.place = {static_cast<std::uint16_t>(kEthernet + header), static_cast<std::uint16_t>(offset)};
  t.pseudo = wire::pseudo_header(src, dst, protocol, l4_length).fold();
  return t;
}

}  // namespace

bool checksum_unfinished(std::span<const std::byte> frame) {
  const auto t = transport_of(frame, static_cast<std::uint32_t>(frame.size()));
  return t && base::load_be16(frame.data() + t->place.start + t->place.offset) == t->pseudo;
}

std::optional<ChecksumPlace> prepare_checksum(std::span<std::byte> head, std::uint32_t length) {
  const auto t = transport_of(head, length);
  if (!t) return std::nullopt;
  base::store_be16(head.data() + t->place.start + t->place.offset, t->pseudo);
  return t->place;
}

}  // namespace ringway::driver::xdp
