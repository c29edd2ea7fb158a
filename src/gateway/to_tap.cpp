// From a stack to the kernel, once it is known to be what it says.

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "gateway/gateway.h"
#include "gateway/outbound.h"
#include "wire/ethernet.h"
#include "wire/tcp.h"
#include "wire/udp.h"

namespace ringway::gateway {
namespace {

constexpr std::uint32_t kEthernet = wire::EthernetHeader::kSize;

/// The offset of the checksum in the transport header; 0: it is complete as it is.
std::uint32_t checksum_field(const wire::PacketView& view) {
  if (view.is_fragment) return 0;
  if (view.protocol == wire::Protocol::kTcp) return wire::TcpHeader::kChecksumOffset;
  return view.protocol == wire::Protocol::kUdp ? 6 : 0;
}

/// What the device would have done, for a frame that has to wait.
void complete_checksum(std::span<std::byte> frame, const wire::PacketView& view) {
  const std::uint32_t field = checksum_field(view);
  if (field == 0) return;
  const auto l4 = frame.subspan(view.l4_offset, view.l4_length());
  if (view.protocol == wire::Protocol::kTcp) {
    wire::finish_tcp(l4, view.src, view.dst);
  } else {
    wire::finish_udp(l4, view.src, view.dst);
  }
}

}  // namespace

std::uint32_t Gateway::receive_from_peers(base::Instant now) {
  ring::Mailbox& mailbox = attachment_->mailbox();
  if (mailbox.summary.load(std::memory_order_relaxed) == 0) return 0;
  std::uint32_t received = 0;
  std::uint64_t words = mailbox.summary.exchange(0, std::memory_order_acq_rel);
  for (; words != 0; words &= words - 1) {
    const auto w = static_cast<std::uint32_t>(std::countr_zero(words));
    if (w >= mailbox.dirty.size()) continue;
    std::uint64_t bits = mailbox.dirty[w].exchange(0, std::memory_order_acq_rel);
    for (; bits != 0; bits &= bits - 1) {
      // Anybody may mark anything.
      Peer* peer = peers_.at(w * 64 + static_cast<std::uint32_t>(std::countr_zero(bits)));
      if (peer != nullptr) received += receive_from_peer(*peer, now);
    }
  }
  return received;
}

std::uint32_t Gateway::receive_from_peer(Peer& peer, base::Instant now) {
  ring::SlotReceiver& receiver = peer.link->receiver();
  std::uint32_t n = 0;
  for (; n < kBurst; ++n) {
    const auto frame = receiver.next();
    if (frame.data == nullptr) break;
    to_tap(peer, {frame.data, frame.desc.length}, frame.desc, now);
    if ((frame.desc.flags & mem::kFrameInline) == 0) receiver.release(&frame.desc.slot, 1);
  }
  if (n != 0) {
    if (!std::exchange(peer.recent, true)) recent_.push_back(peer.index);
    receiver.publish();
    ring(peer.link->notify_room());
  }
  if (receiver.ready()) attachment_->mailbox().mark(peer.index);
  return n;
}

/// `shared` is memory that its sender can change at any time: it is copied once, then looked at.
void Gateway::to_tap(Peer& peer, std::span<const std::byte> shared, const mem::FrameDesc& desc,
                     base::Instant now) {
  const auto length = static_cast<std::uint32_t>(shared.size());
  if (length > ring::kBigFrameBytes) return count(Count::kDropTooLong);
  const auto room = outside_.reserve(length);
  if (room.data == nullptr) return count(Count::kDropTapFull);
  std::memcpy(room.data, shared.data(), length);
  const std::span frame(room.data, length);
  wire::PacketView view;
  std::optional<Count> refused = Count::kDropLinkParse;
  if (wire::parse_frame(frame, {.checksums_trusted = true}, view) == wire::ParseDrop::kNone &&
      view.is_ip() && view.l3_offset == kEthernet) {
    refused = refusal(peer, frame, view);
  }
  mem::FrameDesc out;
  if (!refused && !describe_offload(frame, view, desc, out)) refused = Count::kDropTooLong;
  if (refused) {
    outside_.cancel(room);
    return count(*refused);
  }
  if (const Way* way = way_to(view.dst)) {
    std::memcpy(frame.data(), way->ethernet.data(), way->ethernet.size());
    outside_.commit(room, view.end, out);
    return count(Count::kToTap);
  }
  // The batch has one reservation at a time, and a neighbour may have to be asked.
  std::memcpy(waiting_.data(), frame.data(), view.end);
  outside_.cancel(room);
  send_unresolved(std::span(waiting_).first(view.end), view, out, now);
}

std::optional<Count> Gateway::refusal(Peer& peer, std::span<const std::byte> frame,
                                      const wire::PacketView& view) {
  const Outbound outbound = check_outbound(peer.ipv4, peer.ipv6, attachment_->table(), frame, view);
  if (outbound.refused) return outbound.refused;
  if (!outbound.key || is_of(peer, *outbound.key)) return std::nullopt;
  return Count::kDropForeignSource;
}

/// A flow belongs to the stack that it began with; a new one to who holds its source port.
bool Gateway::is_of(Peer& peer, const FlowKey& key) {
  Flow* flow = state_.flows.find(key);
  if (flow != nullptr && flow->stack == peer.id) return true;
  if (flow != nullptr && peers_.find(flow->stack) != nullptr) return false;
  const steering::Table& table = attachment_->table();
  if (!table.holds(peer.id, key.local.address, key.protocol, key.local.port)) return false;
  if (flow != nullptr) {
    flow->stack = peer.id;
    flow->generation = table.generation();
  } else {
    state_.flows.insert(key, peer.id, table.generation());
  }
  return true;
}

/// Writes the sum that the kernel goes on from (virtio 1.2, 5.1.6.2), whatever the sender left
/// there, and says how a long segment is to be cut. False: it is too long and nobody could cut it.
bool Gateway::describe_offload(std::span<std::byte> frame, const wire::PacketView& view,
                               const mem::FrameDesc& from, mem::FrameDesc& desc) {
  desc.l4_offset = static_cast<std::uint8_t>(std::min<std::uint16_t>(view.l4_offset, UINT8_MAX));
  const std::uint32_t field = checksum_field(view);
  if (field != 0) {
    base::store_be16(&frame[view.l4_offset + field], view.l4_pseudo_header().fold());
    desc.flags = mem::kFrameCsumNeeded;
  }
  const std::uint32_t mtu = bridge_->caps().mtu;
  if (view.l3_length() <= mtu) return true;
  const std::uint32_t headers = view.payload_offset - std::uint32_t{view.l3_offset};
  if (view.protocol != wire::Protocol::kTcp || headers >= mtu) return false;
  const std::uint32_t most = mtu - headers;
  desc.flags |= view.is_v4() ? mem::kFrameGsoTcp4 : mem::kFrameGsoTcp6;
  desc.gso_size = static_cast<std::uint16_t>(
      from.gso_size == 0 ? most : std::min<std::uint32_t>(from.gso_size, most));
  return true;
}

const Gateway::Way* Gateway::way_to(const base::IpAddress& remote) const {
  const Way& way = ways_[base::Random::mix(remote.low() ^ remote.high()) % ways_.size()];
  const bool known = way.generation == state_.ip.generation && way.generation != 0;
  return known && way.remote == remote ? &way : nullptr;
}

void Gateway::send_unresolved(std::span<std::byte> frame, const wire::PacketView& view,
                              const mem::FrameDesc& desc, base::Instant now) {
  speak_for(view.src);  // a neighbour is asked in the sender's name
  port::Path path{};
  const auto outcome = ip_.make_path(view.dst, view.src, now, outputs(), path);
  const bool waits = outcome == ip::PathOutcome::kPending && desc.gso_size == 0;
  if (outcome != ip::PathOutcome::kReady && !waits) return count(Count::kDropNoRoute);
  std::memcpy(frame.data(), path.header.data(), kEthernet);
  if (waits) {
    complete_checksum(frame, view);
    if (!ip_.hold(path, frame)) count(Count::kDropNoRoute);
    return;
  }
  Way& way = ways_[base::Random::mix(view.dst.low() ^ view.dst.high()) % ways_.size()];
  way.remote = view.dst;
  way.generation = state_.ip.generation;
  std::memcpy(way.ethernet.data(), path.header.data(), way.ethernet.size());
  const auto room = outside_.reserve(static_cast<std::uint32_t>(frame.size()));
  if (room.data == nullptr) return count(Count::kDropTapFull);
  std::memcpy(room.data, frame.data(), frame.size());
  outside_.commit(room, static_cast<std::uint32_t>(frame.size()), desc);
  count(Count::kToTap);
}

}  // namespace ringway::gateway
