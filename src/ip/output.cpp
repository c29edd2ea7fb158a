// Packets that ip makes itself, and fragments (RFC 791, 3.2; RFC 8200, 4.5).

#include <algorithm>
#include <cstring>

#include "ip/ip.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace ringway::ip {
namespace {

struct Fragment {
  std::uint32_t id = 0;
  std::uint32_t length = 0;
  std::uint16_t offset = 0;
  bool more = false;
};

}  // namespace

void Ip::send_l4(port::Path path, wire::Protocol protocol, std::span<const std::byte> l4,
                 port::TxBatch& out) {
  path.ip_id = state_.ip_id++;
  const auto number = static_cast<std::uint8_t>(protocol);
  if (path.header_length - path.l3_offset + l4.size() > path.mtu) {
    if (!send_fragments(path, number, l4, out)) count(Counter::kDropNoRoom);
    return;
  }
  const auto length = static_cast<std::uint32_t>(path.header_length + l4.size());
  const port::TxBatch::Packet room = out.reserve(length);
  if (room.data == nullptr) {
    count(Counter::kDropNoRoom);
    return;
  }
  std::byte* at = path.write_header(room.data, number, static_cast<std::uint32_t>(l4.size()));
  std::memcpy(at, l4.data(), l4.size());
  mem::FrameDesc desc;
  desc.l4_offset = path.header_length;
  out.commit(room, length, desc);
}

namespace {

// Headers of one fragment of at most 40 + 8 bytes; returns where its data goes.
std::byte* write_fragment_header(port::Path& path, std::byte* frame, std::uint8_t protocol,
                                 const Fragment& f) {
  std::byte* l3 = frame + path.l3_offset;
  if (path.is_v6 != 0) {
    constexpr auto kExtension = static_cast<std::uint32_t>(wire::Ipv6FragmentHeader::kSize);
    std::byte* at = path.write_header(frame, static_cast<std::uint8_t>(wire::Protocol::kFragment),
                                      f.length + kExtension);
    wire::Ipv6FragmentHeader{static_cast<wire::Protocol>(protocol), f.offset, f.more, f.id}.emit(
        at);
    return at + kExtension;
  }
  std::byte* at = path.write_header(frame, protocol, f.length);
  base::store_be16(l3 + 4, static_cast<std::uint16_t>(f.id));
  base::store_be16(l3 + 6, static_cast<std::uint16_t>((f.more ? 0x2000U : 0U) | f.offset / 8U));
  base::store_be16(l3 + 10, 0);
  base::store_be16(l3 + 10, wire::internet_checksum({l3, wire::Ipv4Header::kSize}));
  return at;
}

}  // namespace

bool Ip::send_fragments(port::Path& path, std::uint8_t protocol, std::span<const std::byte> l4,
                        port::TxBatch& out) {
  const std::uint32_t extension = path.is_v6 != 0 ? wire::Ipv6FragmentHeader::kSize : 0;
  const std::uint32_t header = path.header_length + extension;
  // A frame's length has 16 bits, whatever the MTU.
  const std::uint32_t frame =
      std::min({path.l3_offset + std::uint32_t{path.mtu}, path.max_frame, std::uint32_t{0xffff}});
  const std::uint32_t most = (frame - header) & ~std::uint32_t{7};
  Fragment f;
  f.id = path.ip_id++;
  for (std::uint32_t offset = 0; offset < l4.size(); offset += f.length) {
    f.length = std::min(most, static_cast<std::uint32_t>(l4.size()) - offset);
    f.offset = static_cast<std::uint16_t>(offset);
    f.more = offset + f.length < l4.size();
    const port::TxBatch::Packet room = out.reserve(header + f.length);
    if (room.data == nullptr) return false;
    std::byte* at = write_fragment_header(path, room.data, protocol, f);
    std::memcpy(at, &l4[offset], f.length);
    out.commit(room, header + f.length, {});
    count(Counter::kFragmentSent);
  }
  return true;
}

}  // namespace ringway::ip
