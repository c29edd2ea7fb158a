// Neighbour discovery (RFC 4861, 7.2).

#include "wire/nd.h"

#include "ip/ip.h"
#include "wire/ethernet.h"

namespace ringway::ip {
namespace {

std::span<const std::byte> message_of(const Packet& packet) {
  return packet.frame.subspan(packet.view.l4_offset, packet.view.l4_length());
}

base::MacAddress source_mac(const Packet& packet) {
  return wire::EthernetHeader::parse(packet.frame)->src;
}

}  // namespace

void Ip::send_advertisement(const port::Path& path, const base::IpAddress& target, bool solicited,
                            port::TxBatch& out) {
  wire::NeighborAdvertisement na;
  na.target = target;
  na.solicited = solicited;
  na.override_entry = true;
  na.target_mac = state_.interfaces[path.port].mac;
  std::array<std::byte, 32> bytes{};
  na.emit(bytes.data());
  count(Counter::kNdAdvertised);
  send_nd(path, std::span(bytes).first(na.size()), out);
}

// RFC 4861, 7.2.3 and 7.2.4.
void Ip::neighbour_solicitation(const Packet& packet) {
  const auto ns = wire::NeighborSolicitation::parse(message_of(packet));
  const bool probe = packet.view.src.is_any();
  const bool sane = ns && packet.view.ttl == wire::kNdHopLimit &&
                    !(probe && (ns->source_mac || !packet.view.dst.is_multicast()));
  if (!sane || (ns->source_mac && ns->source_mac->is_multicast())) {
    count(Counter::kDropBadNd);
    return;
  }
  count(Counter::kNdReceived);
  const Interface& i = state_.interfaces[packet.interface];
  if (!i.owns(ns->target)) return;
  if (probe) {
    // Somebody wants our address (RFC 4862, 5.4): the answer goes to all.
    const base::IpAddress all = wire::all_nodes();
    send_advertisement(reply_path(packet.interface, ns->target, all, wire::multicast_mac(all)),
                       ns->target, false, packet.reply);
    return;
  }
  if (ns->source_mac) {
    neighbour_heard(packet, packet.view.src, *ns->source_mac, i.on_link(packet.view.src));
  }
  const base::MacAddress to = ns->source_mac.value_or(source_mac(packet));
  send_advertisement(reply_path(packet.interface, ns->target, packet.view.src, to), ns->target,
                     true, packet.reply);
}

// RFC 4861, 7.2.5.
void Ip::neighbour_advertisement(const Packet& packet, base::Instant now) {
  const auto na = wire::NeighborAdvertisement::parse(message_of(packet));
  const bool sane = na && packet.view.ttl == wire::kNdHopLimit &&
                    !(na->solicited && packet.view.dst.is_multicast()) &&
                    !(na->target_mac && na->target_mac->is_multicast());
  if (!sane) {
    count(Counter::kDropBadNd);
    return;
  }
  count(Counter::kNdReceived);
  if (state_.interfaces[packet.interface].owns(na->target)) {
    count(Counter::kAddressConflict);
    return;
  }
  const std::uint32_t index = state_.neighbours.find(packet.interface, na->target);
  if (index == 0) return;
  Neighbour& n = state_.neighbours[index];
  if (n.state == NeighbourState::kIncomplete && !na->target_mac) return;
  const bool changed = na->target_mac && *na->target_mac != n.mac;
  if (n.usable() && changed && !na->override_entry) {
    if (n.state == NeighbourState::kReachable) {
      state_.neighbours.set(index, NeighbourState::kStale, base::Instant::never());
      ++state_.generation;
    }
    return;
  }
  n.is_router = na->router;
  const base::MacAddress mac = na->target_mac.value_or(n.mac);
  if (na->solicited) {
    answered(index, mac, now, packet.reply);
  } else {
    neighbour_heard(packet, na->target, mac, false);
  }
}

}  // namespace ringway::ip
