// Address resolution: who is asked, when, and what waits for the answer (RFC 826; RFC 4861, 7).

#include <algorithm>
#include <cstring>

#include "ip/ip.h"
#include "wire/arp.h"
#include "wire/ethernet.h"
#include "wire/nd.h"

namespace ringway::ip {

std::uint32_t Ip::find_or_create(std::uint8_t interface, const base::IpAddress& address) {
  std::uint32_t index = state_.neighbours.find(interface, address);
  if (index != 0) return index;
  NeighbourCache::Evicted evicted;
  index = state_.neighbours.create(interface, address, evicted);
  if (evicted.happened) {
    count(Counter::kNeighbourEvicted);
    free_pending(evicted.neighbour, Counter::kDropUnresolved);
    ++state_.generation;
  }
  return index;
}

bool Ip::resolve(const NextHop& hop, base::Instant now, const Outputs& outputs,
                 base::MacAddress& mac) {
  const std::uint32_t index = find_or_create(hop.interface, hop.address);
  Neighbour& n = state_.neighbours[index];
  state_.neighbours.touch(index);
  if (n.state == NeighbourState::kNone) start_resolution(index, now, outputs);
  // RFC 4861, 7.3.3: the first packet to a stale neighbour starts the delay timer.
  if (n.state == NeighbourState::kStale) {
    state_.neighbours.set(index, NeighbourState::kDelay, now + NeighbourCache::kDelayTime);
  }
  mac = n.mac;
  return n.usable();
}

void Ip::start_resolution(std::uint32_t index, base::Instant now, const Outputs& outputs) {
  Neighbour& n = state_.neighbours[index];
  n.probes = 1;
  state_.neighbours.set(index, NeighbourState::kIncomplete, now + NeighbourCache::kRetransmit);
  if (port::TxBatch* out = outputs.batches[n.interface]) solicit(n, *out);
}

void Ip::solicit(const Neighbour& n, port::TxBatch& out) {
  const Interface& i = state_.interfaces[n.interface];
  if (i.neighbours_external) {
    if (state_.wanted_count < State::kMaxFailed) state_.wanted[state_.wanted_count++] = n.address;
    return;
  }
  const base::IpAddress* source = i.source_for(n.address, n.address);
  if (source == nullptr) {
    count(Counter::kDropNoSource);
    return;
  }
  count(Counter::kSolicited);
  const bool unicast = n.state == NeighbourState::kProbe;
  if (n.address.is_v4()) {
    const auto to = unicast ? n.mac : base::MacAddress::broadcast();
    send_arp({n.interface, to, wire::ArpOperation::kRequest}, *source, n.address, out);
    return;
  }
  const base::IpAddress group = wire::solicited_node(n.address);
  const base::IpAddress& to = unicast ? n.address : group;
  const base::MacAddress to_mac = unicast ? n.mac : wire::multicast_mac(group);
  const wire::NeighborSolicitation message{n.address, i.mac};
  std::array<std::byte, 32> bytes{};
  message.emit(bytes.data());
  send_nd(reply_path(n.interface, *source, to, to_mac), std::span(bytes).first(message.size()),
          out);
}

void Ip::send_nd(port::Path path, std::span<std::byte> message, port::TxBatch& out) {
  base::store_u8(&path.header[path.l3_offset + 7U], wire::kNdHopLimit);
  wire::finish_icmpv6(message, path.local, path.remote);
  send_l4(path, wire::Protocol::kIcmpv6, message, out);
}

void Ip::set_neighbours_external(std::uint8_t interface) {
  state_.interfaces[interface].neighbours_external = true;
}

void Ip::set_neighbour(const KnownNeighbour& known, port::TxBatch& out) {
  const std::uint32_t index = find_or_create(known.interface, known.address);
  Neighbour& n = state_.neighbours[index];
  if (n.usable() && n.mac == known.mac) return;
  n.mac = known.mac;
  n.probes = 0;
  state_.neighbours.set(index, NeighbourState::kReachable, base::Instant::never());
  ++state_.generation;
  send_pending(n, out);
}

void Ip::drop_neighbour(std::uint8_t interface, const base::IpAddress& address) {
  const std::uint32_t index = state_.neighbours.find(interface, address);
  if (index == 0) return;
  free_pending(state_.neighbours[index], Counter::kDropUnresolved);
  state_.neighbours.remove(index);
  ++state_.generation;
}

std::optional<base::IpAddress> Ip::take_wanted() {
  if (state_.wanted_count == 0) return std::nullopt;
  return state_.wanted[--state_.wanted_count];
}

void Ip::neighbour_due(std::uint32_t index, base::Instant now, const Outputs& outputs) {
  Neighbour& n = state_.neighbours[index];
  NeighbourCache& cache = state_.neighbours;
  switch (n.state) {
    case NeighbourState::kReachable:
      // Paths are looked up again by their generation: if one is in use, kDelay follows.
      ++state_.generation;
      cache.set(index, NeighbourState::kStale, base::Instant::never());
      return;
    case NeighbourState::kDelay:
      n.probes = 0;
      n.state = NeighbourState::kProbe;
      break;
    case NeighbourState::kIncomplete:
    case NeighbourState::kProbe:
      break;
    case NeighbourState::kNone:
    case NeighbourState::kStale:
      cache.set(index, n.state, base::Instant::never());
      return;
  }
  if (n.probes == NeighbourCache::kMaxSolicit) {
    give_up(index);
    return;
  }
  ++n.probes;
  cache.set(index, n.state, now + NeighbourCache::kRetransmit);
  if (port::TxBatch* out = outputs.batches[n.interface]) solicit(n, *out);
}

// RFC 4861, 7.2.2 and 7.3.3: the entry goes; senders hear of it.
void Ip::give_up(std::uint32_t index) {
  Neighbour& n = state_.neighbours[index];
  free_pending(n, Counter::kDropUnresolved);
  if (state_.failed_count < State::kMaxFailed) state_.failed[state_.failed_count++] = n.address;
  state_.neighbours.remove(index);
  ++state_.generation;
}

void Ip::neighbour_resolved(std::uint32_t index, base::Instant now, port::TxBatch& out) {
  Neighbour& n = state_.neighbours[index];
  if (!n.usable()) ++state_.generation;
  n.probes = 0;
  state_.neighbours.set(index, NeighbourState::kReachable, now + NeighbourCache::kReachableTime);
  send_pending(n, out);
}

void Ip::neighbour_heard(const Packet& packet, const base::IpAddress& address,
                         const base::MacAddress& mac, bool create) {
  std::uint32_t index = state_.neighbours.find(packet.interface, address);
  if (index == 0 && !create) return;
  if (index == 0) index = find_or_create(packet.interface, address);
  Neighbour& n = state_.neighbours[index];
  if (n.usable() && n.mac == mac) return;
  n.mac = mac;
  n.probes = 0;
  // A stale entry is usable, and is probed when used (RFC 4861, 7.2.3).
  state_.neighbours.set(index, NeighbourState::kStale, base::Instant::never());
  ++state_.generation;
  send_pending(n, packet.reply);
}

void Ip::confirm(const base::IpAddress& remote, base::Instant now) {
  const auto hop = next_hop(remote);
  if (!hop) return;
  const std::uint32_t index = state_.neighbours.find(hop->interface, hop->address);
  if (index == 0 || !state_.neighbours[index].usable()) return;
  state_.neighbours.set(index, NeighbourState::kReachable, now + NeighbourCache::kReachableTime);
}

bool Ip::hold(const port::Path& path, std::span<const std::byte> frame) {
  const auto hop = next_hop(path.remote);
  const std::uint32_t index = hop ? state_.neighbours.find(hop->interface, hop->address) : 0;
  const bool fits = frame.size() + mem::kMaxHeadroom <= buffers_.frames->slot_size();
  const std::uint32_t slot =
      index != 0 && fits ? buffers_.frames->allocate() : mem::FramePool::kNone;
  if (slot == mem::FramePool::kNone) {
    count(Counter::kDropPendingFull);
    return false;
  }
  Neighbour& n = state_.neighbours[index];
  if (n.pending_count == Neighbour::kMaxPending) {
    // RFC 1122, 2.3.2.2: the latest packets are the ones to keep.
    buffers_.frames->free(n.pending[0].slot_plus_1 - 1);
    std::copy(n.pending.begin() + 1, n.pending.end(), n.pending.begin());
    --n.pending_count;
    count(Counter::kDropPendingFull);
  }
  const std::uint32_t offset = mem::coloured_headroom(slot);
  std::memcpy(buffers_.frames->data(slot) + offset, frame.data(), frame.size());
  n.pending[n.pending_count++] = {slot + 1, static_cast<std::uint16_t>(offset),
                                  static_cast<std::uint16_t>(frame.size())};
  return true;
}

void Ip::send_pending(Neighbour& n, port::TxBatch& out) {
  for (std::uint32_t i = 0; i < n.pending_count; ++i) {
    const PendingFrame& p = n.pending[i];
    const std::byte* frame = buffers_.frames->data(p.slot_plus_1 - 1) + p.offset;
    const port::TxBatch::Packet room = out.reserve(p.length);
    if (room.data == nullptr) {
      count(Counter::kDropNoRoom);
    } else {
      std::memcpy(room.data, frame, p.length);
      std::memcpy(room.data, n.mac.bytes.data(), n.mac.bytes.size());
      out.commit(room, p.length, {});
    }
    buffers_.frames->free(p.slot_plus_1 - 1);
  }
  n.pending_count = 0;
}

void Ip::free_pending(Neighbour& n, Counter reason) {
  for (std::uint32_t i = 0; i < n.pending_count; ++i) {
    buffers_.frames->free(n.pending[i].slot_plus_1 - 1);
    count(reason);
  }
  n.pending_count = 0;
}

void Ip::poll(base::Instant now, const Outputs& outputs) {
  state_.neighbours.run_due(now, [&](std::uint32_t index) { neighbour_due(index, now, outputs); });
  state_.reassembly.run_due(buffers_, now, [&](PartialDatagram& d) {
    count(Counter::kDropFragmentTimeout);
    if (port::TxBatch* out = outputs.batches[d.interface]) send_reassembly_timeout(d, now, *out);
  });
}

}  // namespace ringway::ip
