// ARP (RFC 826, RFC 5227).

#include "wire/arp.h"

#include <cstring>

#include "ip/ip.h"
#include "wire/ethernet.h"
#include "wire/nd.h"

namespace ringway::ip {
namespace {

// RFC 5227, 2.4 (c): an address is defended once in this time.
constexpr base::Duration kDefendInterval = base::Duration::seconds(10);

}  // namespace

void Ip::send_arp(const ArpTarget& to, const base::IpAddress& sender, const base::IpAddress& target,
                  port::TxBatch& out) {
  constexpr std::uint32_t kLength = wire::EthernetHeader::kSize + wire::ArpPacket::kSize;
  const port::TxBatch::Packet room = out.reserve(kLength);
  if (room.data == nullptr) {
    count(Counter::kDropNoRoom);
    return;
  }
  const base::MacAddress ours = state_.interfaces[to.interface].mac;
  wire::EthernetHeader{to.mac, ours, wire::EtherType::kArp}.emit(room.data);
  // Of a request the target MAC means nothing (RFC 826); zero, as RFC 5227 wants it of probes.
  const bool reply = to.operation == wire::ArpOperation::kReply;
  wire::ArpPacket{to.operation, ours, sender, reply ? to.mac : base::MacAddress{}, target}.emit(
      room.data + wire::EthernetHeader::kSize);
  out.commit(room, kLength, {});
}

void Ip::arp_conflict(const Packet& packet, const base::IpAddress& ours, base::Instant now) {
  count(Counter::kAddressConflict);
  Interface& i = state_.interfaces[packet.interface];
  if (now < i.defend_at) return;
  i.defend_at = now + kDefendInterval;
  send_arp({packet.interface, base::MacAddress::broadcast(), wire::ArpOperation::kRequest}, ours,
           ours, packet.reply);
}

void Ip::arp_input(const Packet& packet, base::Instant now) {
  const auto arp = wire::ArpPacket::parse(packet.frame.subspan(packet.view.l3_offset));
  const Interface& i = state_.interfaces[packet.interface];
  if (!arp || i.neighbours_known || arp->sender_mac.is_multicast() ||
      arp->sender_ip.is_multicast() || i.is_broadcast(arp->sender_ip)) {
    count(Counter::kDropBadArp);
    return;
  }
  count(Counter::kArpReceived);
  if (arp->sender_mac == i.mac) return;  // our own, come back
  if (i.owns(arp->sender_ip)) {
    arp_conflict(packet, arp->sender_ip, now);
    return;
  }
  const bool for_us = i.owns(arp->target_ip);
  const bool probe = arp->sender_ip.is_any();  // RFC 5227, 1.1
  const bool reply = arp->operation == wire::ArpOperation::kReply;
  if (!probe) {
    const std::uint32_t index = state_.neighbours.find(packet.interface, arp->sender_ip);
    if (reply && for_us && index != 0) {
      answered(index, arp->sender_mac, now, packet.reply);
    } else {
      // RFC 826: who asks us will be talked to; others only update what we have.
      neighbour_heard(packet, arp->sender_ip, arp->sender_mac,
                      for_us && !reply && i.on_link(arp->sender_ip));
    }
  }
  if (!for_us || reply) return;
  count(Counter::kArpReplied);
  send_arp({packet.interface, arp->sender_mac, wire::ArpOperation::kReply}, arp->target_ip,
           arp->sender_ip, packet.reply);
}

void Ip::answered(std::uint32_t index, const base::MacAddress& mac, base::Instant now,
                  port::TxBatch& out) {
  Neighbour& n = state_.neighbours[index];
  if (n.usable() && n.mac != mac) ++state_.generation;
  n.mac = mac;
  neighbour_resolved(index, now, out);
}

void Ip::announce(std::uint8_t interface, port::TxBatch& out) {
  const Interface& i = state_.interfaces[interface];
  if (i.neighbours_known) return;
  for (std::uint32_t k = 0; k < i.address_count; ++k) {
    const base::IpAddress& a = i.addresses[k].address;
    if (a.is_v4()) {
      send_arp({interface, base::MacAddress::broadcast(), wire::ArpOperation::kRequest}, a, a, out);
    } else {
      send_advertisement(
          reply_path(interface, a, wire::all_nodes(), wire::multicast_mac(wire::all_nodes())), a,
          false, out);
    }
  }
}

}  // namespace ringway::ip
