// From the kernel to the stack that owns address and port, or an answer in its host's name.

#include <algorithm>
#include <cstring>

#include "gateway/gateway.h"
#include "gateway/reset.h"
#include "wire/arp.h"
#include "wire/ethernet.h"
#include "wire/nd.h"
#include "wire/tcp.h"

namespace ringway::gateway {
namespace {

std::optional<steering::Protocol> ports_of(wire::Protocol protocol) {
  if (protocol == wire::Protocol::kTcp) return steering::Protocol::kTcp;
  if (protocol == wire::Protocol::kUdp) return steering::Protocol::kUdp;
  return std::nullopt;
}

bool is_one_station(const base::IpAddress& a) {
  return !a.is_multicast() && !a.is_any() && !a.is_loopback() &&
         a != base::IpAddress::v4(0xffffffffU);
}

/// A segment that may begin a connection (RFC 9293, 3.10.7.2).
bool is_opening(std::span<const std::byte> frame, const wire::PacketView& view) {
  const std::uint8_t flags = base::load_u8(&frame[view.l4_offset + 13U]);
  return (flags & wire::TcpFlags::kSyn) != 0 && (flags & wire::TcpFlags::kAck) == 0;
}

}  // namespace

std::uint32_t Gateway::receive_from_tap(base::Instant now) {
  std::array<mem::FrameDesc, kBurst> burst;
  const std::size_t n = bridge_->rx_burst(burst);
  for (std::size_t i = 0; i < n; ++i) {
    const mem::FrameDesc& desc = burst[i];
    from_tap({pool_.data(desc.slot) + desc.offset, desc.length}, desc, now);
    pool_.free(desc.slot);
  }
  return static_cast<std::uint32_t>(n);
}

void Gateway::from_tap(std::span<const std::byte> frame, const mem::FrameDesc& desc,
                       base::Instant now) {
  wire::PacketView view;
  const bool trusted = (desc.flags & mem::kFrameCsumOk) != 0;
  if (wire::parse_frame(frame, {.checksums_trusted = trusted}, view) != wire::ParseDrop::kNone) {
    return count(Count::kDropTapParse);
  }
  if (view.l3_offset != wire::EthernetHeader::kSize) return count(Count::kDropTapNotForUs);
  if (!view.is_ip() || view.dst.is_multicast()) return neighbour_input(frame, view, now);
  const auto host = attachment_->table().find_host(view.dst);
  if (!host || *host == steering::kLocalhost) return count(Count::kDropTapNotForUs);
  if (!is_one_station(view.src) || attachment_->table().find_host(view.src)) {
    return count(Count::kDropTapMartian);
  }
  unicast_input({frame.first(view.end), view, desc}, view, now);
}

/// ip answers for the address that it is given: one host at a time is enough.
void Gateway::speak_for(const base::IpAddress& host) {
  if (!is_one_station(host)) return;
  ip::Interface& interface = state_.ip.interfaces[kInterface];
  const std::size_t slot = host.is_v4() ? 0 : 1;
  interface.addresses[slot] = {host, host.is_v4() ? subnet_length() : std::uint8_t{64}};
  interface.address_count =
      std::max<std::uint8_t>(interface.address_count, static_cast<std::uint8_t>(slot + 1));
}

/// ARP and neighbour discovery: whose address is it about?
void Gateway::neighbour_input(std::span<const std::byte> frame, wire::PacketView& view,
                              base::Instant now) {
  std::optional<base::IpAddress> target;
  if (view.ether_type == wire::EtherType::kArp) {
    const auto arp = wire::ArpPacket::parse(frame.subspan(view.l3_offset));
    if (arp && !attachment_->table().find_host(arp->sender_ip).value_or(steering::kLocalhost)) {
      target = arp->target_ip;
    }
  } else if (view.protocol == wire::Protocol::kIcmpv6 && !view.is_fragment) {
    const auto solicitation =
        wire::NeighborSolicitation::parse(frame.subspan(view.l4_offset, view.l4_length()));
    if (solicitation) target = solicitation->target;
  }
  const auto host = target ? attachment_->table().find_host(*target) : std::nullopt;
  if (host.value_or(steering::kLocalhost) == steering::kLocalhost) {
    return count(Count::kDropTapNotForUs);
  }
  speak_for(*target);
  static_cast<void>(
      ip_.input({.interface = kInterface, .frame = frame, .view = view, .reply = outside_}, now));
}

void Gateway::unicast_input(const Inbound& in, wire::PacketView& view, base::Instant now) {
  if (!view.is_fragment && ports_of(view.protocol)) return transport_input(in, now);
  speak_for(view.dst);
  const auto verdict =
      ip_.input({.interface = kInterface, .frame = in.frame, .view = view, .reply = outside_}, now);
  if (verdict.action == ip::Verdict::Action::kError) {
    icmp_error(verdict.error, in, now);
  } else if (verdict.action == ip::Verdict::Action::kDeliver) {
    // A reassembled packet had its checksum verified; it is one piece now.
    mem::FrameDesc whole;
    whole.flags = mem::kFrameCsumOk;
    const Inbound packet{verdict.frame.first(view.end), view,
                         verdict.frame.data() == in.frame.data() ? in.desc : whole};
    if (ports_of(view.protocol)) return transport_input(packet, now);
    if (view.protocol == wire::Protocol::kIcmp || view.protocol == wire::Protocol::kIcmpv6) {
      return count(Count::kDropNobody);
    }
    ip_.send_protocol_unreachable({kInterface, packet.frame, view, outside_}, now);
  }
}

void Gateway::transport_input(const Inbound& in, base::Instant now) {
  const wire::PacketView& view = in.view;
  const bool tcp = view.protocol == wire::Protocol::kTcp;
  const FlowKey key{{view.dst, view.dst_port},
                    {view.src, view.src_port},
                    tcp ? steering::Protocol::kTcp : steering::Protocol::kUdp};
  const bool may_move = !tcp || is_opening(in.frame, view);
  Peer* peer = nullptr;
  switch (route(key, may_move, now, peer)) {
    case Routed::kFound:
      return to_stack(*peer, in);
    case Routed::kNobody:
      return refuse(in, now);
    case Routed::kUnreachable:
      return count(Count::kDropNoLink);
  }
}

/// A flow stays with its stack; only a new one, or one whose stack has given the port up, is looked
/// up (`may_move`: datagrams and SYNs).
Gateway::Routed Gateway::route(const FlowKey& key, bool may_move, base::Instant now, Peer*& peer) {
  const steering::Table& table = attachment_->table();
  const std::uint64_t generation = table.generation();
  Flow* flow = state_.flows.find(key);
  peer = flow != nullptr ? peers_.find(flow->stack) : nullptr;
  if (peer != nullptr) {
    if (!may_move || flow->generation == generation) return Routed::kFound;
    if (table.holds(flow->stack, key.local.address, key.protocol, key.local.port)) {
      flow->generation = generation;
      return Routed::kFound;
    }
  }
  const auto owner = table.lookup(key.local.address, key.protocol, key.local.port, key.hash());
  if (!owner || *owner == attachment_->id()) return Routed::kNobody;
  peer = peers_.find(*owner);
  if (peer == nullptr) {
    peer = peers_.reach(*owner, now);
    asked_daemon_ = true;
    if (peer == nullptr) return Routed::kUnreachable;
  }
  if (flow != nullptr) {
    flow->stack = *owner;
    flow->generation = generation;
  } else if (may_move) {
    state_.flows.insert(key, *owner, generation);
  }
  return Routed::kFound;
}

/// A port that nobody has: as the host's own stack would answer (RFC 9293, 3.10.7.1; RFC 1122,
/// 4.1.3.1).
void Gateway::refuse(const Inbound& in, base::Instant now) {
  if (in.view.protocol == wire::Protocol::kTcp) {
    if (send_reset(in.frame, in.view, bridge_->caps().mac, outside_)) count(Count::kResetsSent);
    return;
  }
  speak_for(in.view.dst);
  wire::PacketView view = in.view;
  ip_.send_port_unreachable({kInterface, in.frame, view, outside_}, now);
}

/// An error belongs to whoever sent the packet that it quotes.
void Gateway::icmp_error(const ip::IcmpError& error, const Inbound& in, base::Instant now) {
  const wire::QuotedPacket& quoted = error.quoted;
  const auto protocol = ports_of(quoted.protocol);
  if (!protocol) return count(Count::kDropNobody);
  const FlowKey key{{quoted.src, quoted.src_port}, {quoted.dst, quoted.dst_port}, *protocol};
  Peer* peer = nullptr;
  if (route(key, false, now, peer) != Routed::kFound) return count(Count::kDropNobody);
  to_stack(*peer, in);
}

void Gateway::to_stack(Peer& peer, const Inbound& in) {
  const auto length = static_cast<std::uint32_t>(in.frame.size());
  if (length > ring::kBigFrameBytes) return to_stack_in_fragments(peer, in);
  port::TxBatch& tx = peer.link->tx();
  const auto room = tx.reserve(length);
  if (room.data == nullptr) return count(Count::kDropLinkFull);
  std::memcpy(room.data, in.frame.data(), length);
  mem::FrameDesc desc;
  desc.flags = static_cast<std::uint8_t>(
      mem::kFrameCsumOk | (in.desc.flags & (mem::kFrameGsoTcp4 | mem::kFrameGsoTcp6)));
  desc.gso_size = in.desc.gso_size;
  desc.l4_offset = static_cast<std::uint8_t>(std::min<std::uint16_t>(in.view.l4_offset, UINT8_MAX));
  tx.commit(room, length, desc);
  touch(peer);
  count(Count::kToStacks);
}

/// Only a datagram that was reassembled is longer than a link's frame.
void Gateway::to_stack_in_fragments(Peer& peer, const Inbound& in) {
  port::Path path{};
  path.mtu = stack::kLinkMtu;
  path.max_frame = ring::kBigFrameBytes;
  path.l3_offset = wire::EthernetHeader::kSize;
  path.is_v6 = in.view.is_v4() ? 0 : 1;
  path.header_length = static_cast<std::uint8_t>(path.l3_offset + (in.view.is_v4() ? 20 : 40));
  path.ip_id = state_.ip.ip_id++;
  // Reassembly leaves a plain header: it serves as the template.
  std::memcpy(path.header.data(), in.frame.data(), path.header_length);
  if (path.is_v6 != 0) base::store_u8(&path.header[path.l3_offset], 0x60);
  const auto l4 = in.frame.subspan(in.view.l4_offset);
  const auto protocol = static_cast<std::uint8_t>(in.view.protocol);
  if (!ip_.send_fragments(path, protocol, l4, peer.link->tx())) count(Count::kDropLinkFull);
  touch(peer);
  count(Count::kToStacks);
}

void Gateway::touch(Peer& peer) {
  if (peer.touched) return;
  peer.touched = true;
  touched_.push_back(peer.index);
}

}  // namespace ringway::gateway
