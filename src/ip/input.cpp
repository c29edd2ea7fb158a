// The way of a received packet through ip.

#include "ip/ip.h"
#include "wire/ethernet.h"

namespace ringway::ip {

Verdict Ip::drop(Counter reason) {
  count(reason);
  return {};
}

Verdict Ip::deliver(const Packet& packet) {
  count(Counter::kDelivered);
  return {Verdict::Action::kDeliver, packet.frame, {}};
}

bool Ip::is_plain(std::uint8_t interface, const wire::PacketView& v) const {
  const Interface& i = state_.interfaces[interface];
  const bool transport = v.protocol == wire::Protocol::kTcp || v.protocol == wire::Protocol::kUdp;
  return v.is_ip() && transport && !v.is_fragment && i.owns(v.dst) && source_ok(i, v);
}

// RFC 1122, 3.2.1.3; RFC 6890. On links, hosts share addresses: ours may be the sender's too.
bool Ip::source_ok(const Interface& i, const wire::PacketView& v) const {
  if (v.src.is_multicast()) return false;
  if (i.neighbours_known) return true;
  if (v.src.is_any()) {
    // DHCP over IPv4; duplicate address detection over IPv6.
    return v.is_v4() ? v.protocol == wire::Protocol::kUdp : v.protocol == wire::Protocol::kIcmpv6;
  }
  return !v.src.is_loopback() && !i.is_broadcast(v.src) && !i.owns(v.src);
}

bool Ip::destination_ok(const Interface& i, const wire::PacketView& v) const {
  if (i.owns(v.dst)) return true;
  if (v.dst.is_multicast()) {
    return v.protocol != wire::Protocol::kTcp && i.listens_to_group(v.dst);
  }
  return v.protocol != wire::Protocol::kTcp && i.is_broadcast(v.dst);
}

Verdict Ip::input(Packet packet, base::Instant now) {
  const Interface& i = state_.interfaces[packet.interface];
  wire::PacketView& v = packet.view;
  if (v.ether_type == wire::EtherType::kArp) {
    arp_input(packet, now);
    return {};
  }
  if (!v.is_ip() || !i.up || !destination_ok(i, v)) return drop(Counter::kDropNotForUs);
  if (!source_ok(i, v)) return drop(Counter::kDropMartian);
  if (v.is_fragment && !reassemble(packet, now)) return {};
  const bool v4 = v.is_v4();
  const bool icmp = v.protocol == (v4 ? wire::Protocol::kIcmp : wire::Protocol::kIcmpv6);
  if (!icmp) return deliver(packet);
  // Only bulk of TCP and UDP spreads over several frames.
  if (v.end > packet.frame.size()) return drop(Counter::kDropUnhandledIcmp);
  return v4 ? icmp_input(packet) : icmpv6_input(packet, now);
}

bool Ip::reassemble(Packet& packet, base::Instant now) {
  count(Counter::kFragmentReceived);
  std::span<const std::byte> whole;
  switch (state_.reassembly.add(buffers_, {packet.interface, packet.frame, packet.view, now},
                                scratch_, whole)) {
    case Reassembly::Outcome::kComplete:
      break;
    case Reassembly::Outcome::kWaiting:
    case Reassembly::Outcome::kDuplicate:
      return false;
    case Reassembly::Outcome::kOverlap:
      count(Counter::kDropFragmentOverlap);
      return false;
    case Reassembly::Outcome::kInconsistent:
      count(Counter::kDropFragmentInconsistent);
      return false;
    case Reassembly::Outcome::kLimit:
      count(Counter::kDropFragmentLimit);
      return false;
  }
  count(Counter::kReassembled);
  packet.frame = whole;
  packet.view = wire::PacketView{};
  const bool parsed = wire::parse_frame(whole, {}, packet.view) == wire::ParseDrop::kNone;
  if (!parsed) count(Counter::kDropFragmentInconsistent);
  return parsed;
}

}  // namespace ringway::ip
