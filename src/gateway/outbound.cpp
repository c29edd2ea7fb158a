#include "gateway/outbound.h"

#include "base/bytes.h"
#include "wire/icmp.h"
#include "wire/udp.h"

namespace ringway::gateway {
namespace {

/// Errors and echo; everything else (redirects, neighbour discovery) is the gateway's to say.
bool is_allowed_icmp(std::span<const std::byte> frame, const wire::PacketView& view) {
  const bool v4 = view.protocol == wire::Protocol::kIcmp;
  if (view.is_v4() != v4 || view.is_fragment) return false;
  const std::uint8_t type = base::load_u8(&frame[view.l4_offset]);
  if (v4) return type != static_cast<std::uint8_t>(wire::IcmpType::kRedirect);
  return type < 128 || type == static_cast<std::uint8_t>(wire::Icmpv6Type::kEchoRequest) ||
         type == static_cast<std::uint8_t>(wire::Icmpv6Type::kEchoReply);
}

}  // namespace

Outbound check_outbound(const base::IpAddress& ipv4, const base::IpAddress& ipv6,
                        const steering::Table& table, std::span<const std::byte> frame,
                        const wire::PacketView& view) {
  if (view.src != (view.is_v4() ? ipv4 : ipv6)) return {Count::kDropForeignSource, {}};
  const bool unicast = !view.dst.is_multicast() && !view.dst.is_any() && !view.dst.is_loopback();
  if (!unicast || table.find_host(view.dst)) return {Count::kDropMisdirected, {}};
  if (view.protocol == wire::Protocol::kIcmp || view.protocol == wire::Protocol::kIcmpv6) {
    if (is_allowed_icmp(frame, view)) return {};
    return {Count::kDropForbidden, {}};
  }
  const bool tcp = view.protocol == wire::Protocol::kTcp;
  if (tcp ? view.is_fragment : view.protocol != wire::Protocol::kUdp) {
    return {Count::kDropForbidden, {}};
  }
  if (view.fragment_offset != 0) return {};
  if (view.l4_length() < wire::UdpHeader::kSize) return {Count::kDropLinkParse, {}};
  const std::byte* l4 = frame.data() + view.l4_offset;  // a first fragment's ports are not in view
  return {{},
          FlowKey{{view.src, base::load_be16(l4)},
                  {view.dst, base::load_be16(l4 + 2)},
                  tcp ? steering::Protocol::kTcp : steering::Protocol::kUdp}};
}

}  // namespace ringway::gateway
