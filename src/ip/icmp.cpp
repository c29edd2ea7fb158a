// ICMP and ICMPv6: echo, errors that we get, errors that we send (RFC 792, RFC 1122 3.2.2, RFC
// 4443).

#include <algorithm>
#include <cstring>

#include "ip/ip.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/nd.h"

namespace ringway::ip {
namespace {

using Kind = IcmpError::Kind;
using wire::IcmpType;
using wire::Icmpv6Type;

// RFC 4443, 2.4 (f); RFC 1812, 4.3.2.8: a hundred a second, fifty at once.
constexpr base::Duration kErrorInterval = base::Duration::milliseconds(10);
constexpr std::int64_t kErrorBurst = 50;
// RFC 1812, 4.3.2.3 and RFC 4443, 2.4 (c): largest error packet.
constexpr std::size_t kMaxErrorV4 = 576;
constexpr std::size_t kMaxErrorV6 = 1280;

base::MacAddress source_mac(const Packet& packet) {
  return wire::EthernetHeader::parse(packet.frame)->src;
}

std::optional<IcmpError> error_of_v4(const wire::IcmpHeader& h) {
  IcmpError e;
  e.type = h.type;
  e.code = h.code;
  switch (static_cast<IcmpType>(h.type)) {
    case IcmpType::kUnreachable:
      if (h.code == wire::UnreachableCode::kProtocol) e.kind = Kind::kProtocolUnreachable;
      if (h.code == wire::UnreachableCode::kPort) e.kind = Kind::kPortUnreachable;
      if (h.code == wire::UnreachableCode::kAdminProhibited || h.code == 9 || h.code == 10) {
        e.kind = Kind::kProhibited;
      }
      if (h.code == wire::UnreachableCode::kFragmentationNeeded) {
        e.kind = Kind::kTooBig;
        e.mtu = h.rest & 0xffff;  // RFC 1191, 4
      }
      return e;
    case IcmpType::kTimeExceeded:
      e.kind = Kind::kTimeExceeded;
      return e;
    case IcmpType::kParameterProblem:
      e.kind = Kind::kParameterProblem;
      return e;
    default:
      return std::nullopt;
  }
}

std::optional<IcmpError> error_of_v6(const wire::IcmpHeader& h) {
  IcmpError e;
  e.type = h.type;
  e.code = h.code;
  switch (static_cast<Icmpv6Type>(h.type)) {
    case Icmpv6Type::kUnreachable:
      if (h.code == wire::UnreachableCode::kV6Port) e.kind = Kind::kPortUnreachable;
      if (h.code == wire::UnreachableCode::kV6AdminProhibited) e.kind = Kind::kProhibited;
      return e;
    case Icmpv6Type::kPacketTooBig:
      e.kind = Kind::kTooBig;
      e.mtu = h.rest;
      return e;
    case Icmpv6Type::kTimeExceeded:
      e.kind = Kind::kTimeExceeded;
      return e;
    case Icmpv6Type::kParameterProblem:
      // Code 1: unrecognized next header, which is what "protocol unreachable" is there.
      e.kind = h.code == 1 ? Kind::kProtocolUnreachable : Kind::kParameterProblem;
      return e;
    default:
      return std::nullopt;
  }
}

bool is_icmp_error(const Packet& packet) {
  const auto type = base::load_u8(&packet.frame[packet.view.l4_offset]);
  if (packet.view.protocol == wire::Protocol::kIcmpv6) return type < 128;
  if (packet.view.protocol != wire::Protocol::kIcmp) return false;
  const auto t = static_cast<IcmpType>(type);
  return t != IcmpType::kEchoRequest && t != IcmpType::kEchoReply;
}

}  // namespace

Verdict Ip::icmp_input(const Packet& packet) {
  const auto h = *wire::IcmpHeader::parse(packet.frame.subspan(packet.view.l4_offset));
  if (static_cast<IcmpType>(h.type) == IcmpType::kEchoRequest) {
    echo_reply(packet);
    return {};
  }
  if (const auto error = error_of_v4(h)) return error_input(packet, *error);
  if (static_cast<IcmpType>(h.type) == IcmpType::kEchoReply) return deliver(packet);
  return drop(Counter::kDropUnhandledIcmp);
}

Verdict Ip::icmpv6_input(const Packet& packet, base::Instant now) {
  const auto h = *wire::IcmpHeader::parse(packet.frame.subspan(packet.view.l4_offset));
  switch (static_cast<Icmpv6Type>(h.type)) {
    case Icmpv6Type::kEchoRequest:
      echo_reply(packet);
      return {};
    case Icmpv6Type::kEchoReply:
      return deliver(packet);
    case Icmpv6Type::kNeighborSolicitation:
      neighbour_solicitation(packet);
      return {};
    case Icmpv6Type::kNeighborAdvertisement:
      neighbour_advertisement(packet, now);
      return {};
    default:
      break;
  }
  if (const auto error = error_of_v6(h)) return error_input(packet, *error);
  return drop(Counter::kDropUnhandledIcmp);
}

Verdict Ip::error_input(const Packet& packet, IcmpError error) {
  const auto& v = packet.view;
  const auto quoted =
      wire::QuotedPacket::parse(packet.frame.subspan(v.payload_offset, v.payload_length()));
  const bool ours = quoted && quoted->src.is_v4() == v.is_v4() &&
                    state_.interfaces[packet.interface].owns(quoted->src);
  if (!ours) return drop(Counter::kDropBadIcmp);
  count(Counter::kErrorReceived);
  error.quoted = *quoted;
  return {Verdict::Action::kError, packet.frame, error};
}

void Ip::echo_reply(const Packet& packet) {
  const auto& v = packet.view;
  const Interface& i = state_.interfaces[packet.interface];
  // Echo requests to a broadcast or an IPv4 multicast may be ignored (RFC 1122, 3.2.2.6) and are.
  const base::IpAddress* source = i.owns(v.dst)   ? &v.dst
                                  : v.dst.is_v6() ? i.source_for(v.src, v.src)
                                                  : nullptr;
  const std::uint32_t length = v.l4_length();
  if (source == nullptr || length > scratch_.size()) {
    count(Counter::kDropUnhandledIcmp);
    return;
  }
  const port::Path path = reply_path(packet.interface, *source, v.src, source_mac(packet));
  const std::span<std::byte> l4 = scratch_.first(length);
  std::memmove(l4.data(), &packet.frame[v.l4_offset],
               length);  // a reassembled one lies there itself
  if (v.is_v4()) {
    base::store_u8(l4.data(), static_cast<std::uint8_t>(IcmpType::kEchoReply));
    wire::finish_icmp(l4);
  } else {
    base::store_u8(l4.data(), static_cast<std::uint8_t>(Icmpv6Type::kEchoReply));
    wire::finish_icmpv6(l4, path.local, path.remote);
  }
  count(Counter::kEchoReplied);
  send_l4(path, v.protocol, l4, packet.reply);
}

// RFC 1122, 3.2.2; RFC 4443, 2.4 (e).
bool Ip::may_answer(const Packet& packet) const {
  const auto& v = packet.view;
  const Interface& i = state_.interfaces[packet.interface];
  const bool to_us =
      i.owns(v.dst) && !wire::EthernetHeader::parse(packet.frame)->dst.is_multicast();
  const bool from_one = !v.src.is_any() && !v.src.is_multicast() && !i.is_broadcast(v.src);
  return to_us && from_one && v.fragment_offset == 0 &&
         (v.l4_offset >= packet.frame.size() || !is_icmp_error(packet));
}

void Ip::send_error(const Packet& packet, const wire::IcmpHeader& header, base::Instant now) {
  if (!may_answer(packet) || !state_.error_limit.allow(now, kErrorInterval, kErrorBurst)) {
    count(Counter::kErrorSuppressed);
    return;
  }
  const auto& v = packet.view;
  const port::Path path = reply_path(packet.interface, v.dst, v.src, source_mac(packet));
  const std::size_t headers =
      (v.is_v4() ? wire::Ipv4Header::kSize : wire::Ipv6Header::kSize) + wire::IcmpHeader::kSize;
  const std::size_t received = std::min<std::size_t>(v.end, packet.frame.size()) - v.l3_offset;
  const std::size_t quoted = std::min(received, (v.is_v4() ? kMaxErrorV4 : kMaxErrorV6) - headers);
  std::array<std::byte, kMaxErrorV6> bytes;
  const auto message = std::span(bytes).first(wire::IcmpHeader::kSize + quoted);
  header.emit(message.data());
  std::memcpy(&message[wire::IcmpHeader::kSize], &packet.frame[v.l3_offset], quoted);
  count(Counter::kErrorSent);
  if (v.is_v4()) {
    wire::finish_icmp(message);
    send_l4(path, wire::Protocol::kIcmp, message, packet.reply);
  } else {
    wire::finish_icmpv6(message, path.local, path.remote);
    send_l4(path, wire::Protocol::kIcmpv6, message, packet.reply);
  }
}

void Ip::send_port_unreachable(const Packet& packet, base::Instant now) {
  const bool v4 = packet.view.is_v4();
  const auto type = v4 ? static_cast<std::uint8_t>(IcmpType::kUnreachable)
                       : static_cast<std::uint8_t>(Icmpv6Type::kUnreachable);
  send_error(packet, {type, v4 ? wire::UnreachableCode::kPort : wire::UnreachableCode::kV6Port, 0},
             now);
}

void Ip::send_protocol_unreachable(const Packet& packet, base::Instant now) {
  if (packet.view.is_v4()) {
    const auto type = static_cast<std::uint8_t>(IcmpType::kUnreachable);
    send_error(packet, {type, wire::UnreachableCode::kProtocol, 0}, now);
    return;
  }
  // RFC 8200, 4: parameter problem, code 1. The pointer is right for packets without extensions.
  const auto type = static_cast<std::uint8_t>(Icmpv6Type::kParameterProblem);
  send_error(packet, {type, 1, 6}, now);
}

void Ip::send_parse_problem(const Packet& packet, wire::ParseDrop drop, base::Instant now) {
  std::uint8_t code = 0;
  switch (drop) {
    case wire::ParseDrop::kIpv6Routing:
      code = 0;
      break;
    case wire::ParseDrop::kIpv6HeaderOrder:
      code = 1;
      break;
    case wire::ParseDrop::kIpv6OptionReport:
    case wire::ParseDrop::kIpv6OptionReportUnicast:
      code = 2;
      break;
    default:
      return;
  }
  const auto type = static_cast<std::uint8_t>(Icmpv6Type::kParameterProblem);
  send_error(packet, {type, code, packet.view.problem_at}, now);
}

// RFC 792: time exceeded, code 1, only if the first fragment is there; RFC 8200, 4.5 alike.
void Ip::send_reassembly_timeout(PartialDatagram& d, base::Instant now, port::TxBatch& out) {
  if (d.head_length == 0) return;
  const auto head = std::span<const std::byte>(d.head).first(d.head_length);
  wire::PacketView view;
  // The head is the start of a packet that has been parsed before.
  if (wire::parse_frame(head, {true, 0xffff}, view) != wire::ParseDrop::kNone) return;
  const auto type = view.is_v4() ? static_cast<std::uint8_t>(IcmpType::kTimeExceeded)
                                 : static_cast<std::uint8_t>(Icmpv6Type::kTimeExceeded);
  send_error({d.interface, head, view, out}, {type, 1, 0}, now);
}

}  // namespace ringway::ip
