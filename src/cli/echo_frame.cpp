#include "cli/echo_frame.h"

#include <algorithm>

#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/packet_view.h"

namespace ringway::cli {

namespace {

constexpr std::size_t kEthernet = wire::EthernetHeader::kSize;

// Frames of a link meet nobody who would look at their addresses.
void emit_ethernet(std::byte* out, wire::EtherType type) {
  wire::EthernetHeader header;
  header.dst = header.src = base::MacAddress{{0x02, 0x52, 0x57, 0, 0, 1}};
  header.type = type;
  header.emit(out);
}

}  // namespace

std::vector<std::byte> make_echo_request(const EchoKey& key, std::uint16_t payload_bytes) {
  const bool v4 = key.to.is_v4();
  const std::size_t ip_bytes = v4 ? wire::Ipv4Header::kSize : wire::Ipv6Header::kSize;
  const std::size_t message_bytes = wire::IcmpHeader::kSize + payload_bytes;
  std::vector<std::byte> frame(kEthernet + ip_bytes + message_bytes);
  const auto message = std::span(frame).subspan(kEthernet + ip_bytes);
  wire::IcmpHeader icmp;
  icmp.type = v4 ? static_cast<std::uint8_t>(wire::IcmpType::kEchoRequest)
                 : static_cast<std::uint8_t>(wire::Icmpv6Type::kEchoRequest);
  icmp.rest = wire::IcmpHeader::echo_rest(key.id, key.sequence);
  icmp.emit(message.data());
  if (v4) {
    emit_ethernet(frame.data(), wire::EtherType::kIpv4);
    wire::Ipv4Header ip;
    ip.src = key.from;
    ip.dst = key.to;
    ip.protocol = wire::Protocol::kIcmp;
    ip.total_length = static_cast<std::uint16_t>(ip_bytes + message_bytes);
    ip.emit(frame.data() + kEthernet);
    wire::finish_icmp(message);
  } else {
    emit_ethernet(frame.data(), wire::EtherType::kIpv6);
    wire::Ipv6Header ip;
    ip.src = key.from;
    ip.dst = key.to;
    ip.next_header = wire::Protocol::kIcmpv6;
    ip.payload_length = static_cast<std::uint16_t>(message_bytes);
    ip.emit(frame.data() + kEthernet);
    wire::finish_icmpv6(message, key.from, key.to);
  }
  return frame;
}

bool is_echo_reply(std::span<const std::byte> frame, const EchoKey& key) {
  wire::PacketView view;
  if (wire::parse_frame(frame, {.checksums_trusted = true}, view) != wire::ParseDrop::kNone ||
      !view.is_ip() || view.is_fragment || view.src != key.to || view.dst != key.from) {
    return false;
  }
  const bool v4 = view.is_v4();
  if (view.protocol != (v4 ? wire::Protocol::kIcmp : wire::Protocol::kIcmpv6)) return false;
  const auto icmp = wire::IcmpHeader::parse(frame.subspan(view.l4_offset));
  const auto reply = v4 ? static_cast<std::uint8_t>(wire::IcmpType::kEchoReply)
                        : static_cast<std::uint8_t>(wire::Icmpv6Type::kEchoReply);
  return icmp && icmp->type == reply && icmp->echo_id() == key.id &&
         icmp->echo_seq() == key.sequence;
}

}  // namespace ringway::cli
