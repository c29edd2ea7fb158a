// From a member to the hosts and to other members, and from the hosts to members.

#include <algorithm>
#include <array>
#include <cstring>

#include "bridge/bridge.h"
#include "bridge/segment.h"
#include "port/packet.h"
#include "wire/ethernet.h"
#include "wire/packet_view.h"

namespace ringway::bridge {
namespace {

constexpr std::size_t kBurst = 32;
/// Frames that may wait for a member.
constexpr std::size_t kMostPending = 256;
constexpr std::size_t kTag = wire::VlanTag::kSize;
constexpr std::size_t kAddresses = 12;
constexpr std::uint8_t kGso = mem::kFrameGsoTcp4 | mem::kFrameGsoTcp6;

/// How long `from` will be with the tag put in or taken out.
int tag_change(std::uint16_t member_vlan, std::uint16_t vlan, bool tagged) {
  const bool wanted = member_vlan == 0 && vlan != 0;
  if (tagged && member_vlan != 0) return -static_cast<int>(kTag);
  if (!tagged && wanted) return static_cast<int>(kTag);
  return 0;
}

/// Copies a frame with its tag put in, taken out or as it is.
void copy_tagged(std::span<const std::byte> from, int change, std::uint16_t vlan, std::byte* to) {
  if (change == 0) {
    std::memcpy(to, from.data(), from.size());
    return;
  }
  std::memcpy(to, from.data(), kAddresses);
  if (change < 0) {
    std::memcpy(to + kAddresses, from.data() + kAddresses + kTag, from.size() - kAddresses - kTag);
    return;
  }
  base::store_be16(to + kAddresses, static_cast<std::uint16_t>(wire::EtherType::kVlan));
  base::store_be16(to + kAddresses + 2, vlan);
  std::memcpy(to + kAddresses + kTag, from.data() + kAddresses, from.size() - kAddresses);
}

}  // namespace

std::size_t Bridge::rx_burst(std::span<mem::FrameDesc> out) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < members_.size() && n < out.size(); ++i) {
    const auto index = static_cast<std::uint8_t>((next_ + i) % members_.size());
    if (members_[index]) receive_from(index, out, n);
  }
  next_ = static_cast<std::uint8_t>((next_ + 1U) % members_.size());
  for (auto& member : members_) {
    if (member) flush(*member);
  }
  return n;
}

void Bridge::receive_from(std::uint8_t index, std::span<mem::FrameDesc> out, std::size_t& n) {
  Member& member = *members_[index];
  std::array<mem::FrameDesc, kBurst> burst;
  const std::size_t most = std::min(burst.size(), out.size() - n);
  const std::size_t received = member.port->rx_burst({burst.data(), most});
  for (std::size_t i = 0; i < received; ++i) {
    const mem::FrameDesc& desc = burst[i];
    const bool more = (desc.flags & mem::kFrameMore) != 0;
    if (more || member.chained) {
      if (!member.chained) counts_.add(Count::kDropChain);
      member.chained = more;
      member.pool->free(desc.slot);
      continue;
    }
    if (input(index, desc, out[n])) ++n;
  }
}

std::optional<Bridge::Framed> Bridge::frame_of(mem::FramePool& pool, const mem::FrameDesc& desc) {
  Framed frame;
  frame.bytes = {pool.data(desc.slot) + desc.offset, desc.length};
  const auto ethernet = wire::EthernetHeader::parse(frame.bytes);
  if (!ethernet) return std::nullopt;
  frame.desc = desc;
  frame.pool = &pool;
  frame.dst = ethernet->dst;
  frame.src = ethernet->src;
  if (ethernet->type == wire::EtherType::kVlan) {
    const auto tag = wire::VlanTag::parse(frame.bytes.subspan(wire::EthernetHeader::kSize));
    if (!tag) return std::nullopt;
    frame.tagged = true;
    frame.vlan = tag->id;
  }
  return frame;
}

/// Of which VLAN is it? False: of none that this member may have.
bool Bridge::classify(Member& member, Framed& frame) {
  if (member.options.vlan == 0) return true;
  if (frame.tagged && frame.vlan != 0) return false;
  if (frame.tagged) return false;  // a priority tag within an untagged VLAN: nobody sends that
  frame.vlan = member.options.vlan;
  return true;
}

bool Bridge::is_ours(const base::MacAddress& mac) const {
  if (mac == caps_.mac) return true;
  return std::any_of(members_.begin(), members_.end(), [&](const auto& member) {
    return member != nullptr && member->port->caps().mac == mac;
  });
}

bool Bridge::input(std::uint8_t index, const mem::FrameDesc& desc, mem::FrameDesc& for_hosts) {
  Member& member = *members_[index];
  const auto drop = [&](Count why) {
    counts_.add(why);
    member.pool->free(desc.slot);
    return false;
  };
  auto frame = frame_of(*member.pool, desc);
  if (!frame) return drop(Count::kDropShort);
  if (!classify(member, *frame)) return drop(Count::kDropVlan);
  if (is_ours(frame->src)) return drop(Count::kDropOwn);
  table_.learn(frame->src, frame->vlan, index, now_);
  const bool hosts_vlan = frame->vlan == 0 && !frame->tagged;
  if (is_ours(frame->dst)) return hosts_vlan ? to_hosts(*frame, for_hosts) : drop(Count::kDropVlan);
  const bool group = frame->dst.is_multicast();
  const std::uint8_t behind =
      group ? LearningTable::kNone : table_.find(frame->dst, frame->vlan, now_);
  if (behind != LearningTable::kNone) {
    if (behind != index && members_[behind] && send(*members_[behind], *frame)) {
      counts_.add(Count::kForwarded);
    }
    member.pool->free(desc.slot);
    return false;
  }
  if (!member.storm.take(now_)) return drop(Count::kDropStorm);
  flood(*frame, index);
  if (group && hosts_vlan) return to_hosts(*frame, for_hosts);
  member.pool->free(desc.slot);
  return false;
}

/// The frame is the hosts' from here on, moved if it is of their pool.
bool Bridge::to_hosts(const Framed& frame, mem::FrameDesc& out) {
  if (frame.pool == &pool_) {
    out = frame.desc;
    counts_.add(Count::kToHosts);
    return true;
  }
  const std::uint32_t slot = pool_.allocate();
  const std::uint32_t headroom = slot == mem::FramePool::kNone ? 0 : mem::coloured_headroom(slot);
  const bool fits =
      slot != mem::FramePool::kNone && headroom + frame.bytes.size() <= pool_.slot_size();
  if (fits) {
    out = frame.desc;
    out.slot = slot;
    out.offset = static_cast<std::uint16_t>(headroom);
    std::memcpy(pool_.data(slot) + headroom, frame.bytes.data(), frame.bytes.size());
    counts_.add(Count::kToHosts);
  } else {
    if (slot != mem::FramePool::kNone) pool_.free(slot);
    counts_.add(Count::kDropNoFrame);
  }
  frame.pool->free(frame.desc.slot);
  return fits;
}

void Bridge::flood(const Framed& frame, std::uint8_t except) {
  for (std::uint8_t i = 0; i < members_.size(); ++i) {
    Member* member = members_[i].get();
    if (member == nullptr || i == except) continue;
    if (member->options.vlan != 0 && member->options.vlan != frame.vlan) continue;
    if (send(*member, frame)) counts_.add(Count::kFlooded);
  }
}

/// A frame of the member's pool for `length` bytes, and a place among what waits for it.
bool Bridge::claim(Member& member, std::uint32_t length, mem::FrameDesc& desc) {
  if (member.pending.size() >= kMostPending) flush(member);
  if (member.pending.size() >= kMostPending) {
    counts_.add(Count::kDropFull);
    return false;
  }
  std::uint32_t slot = member.pool->allocate();
  if (slot == mem::FramePool::kNone && member.port->reclaim() != 0) slot = member.pool->allocate();
  if (slot == mem::FramePool::kNone) {
    counts_.add(Count::kDropNoFrame);
    return false;
  }
  const std::uint32_t headroom = mem::coloured_headroom(slot);
  if (headroom + length > std::min<std::uint32_t>(member.pool->slot_size(), UINT16_MAX)) {
    member.pool->free(slot);
    counts_.add(Count::kDropTooLong);
    return false;
  }
  desc.slot = slot;
  desc.offset = static_cast<std::uint16_t>(headroom);
  desc.length = static_cast<std::uint16_t>(length);
  return true;
}

/// Copies a frame into one of the member's, as the member needs it. The frame stays the caller's.
bool Bridge::send(Member& member, const Framed& frame) {
  if (member.options.vlan != 0 && member.options.vlan != frame.vlan) {
    counts_.add(Count::kDropVlan);
    return false;
  }
  const port::Caps& caps = member.port->caps();
  if ((frame.desc.flags & kGso) != 0 && !caps.tx_gso) {
    send_pieces(member, frame);
    return true;
  }
  const int change = tag_change(member.options.vlan, frame.vlan, frame.tagged);
  const auto length = static_cast<std::uint32_t>(static_cast<int>(frame.bytes.size()) + change);
  if (length > caps.max_frame + kTag) {
    counts_.add(Count::kDropTooLong);
    return false;
  }
  mem::FrameDesc desc = frame.desc;
  if (!claim(member, length, desc)) return false;
  if (desc.l4_offset != 0) desc.l4_offset = static_cast<std::uint8_t>(desc.l4_offset + change);
  const std::span<std::byte> copy(member.pool->data(desc.slot) + desc.offset, length);
  copy_tagged(frame.bytes, change, frame.vlan, copy.data());
  if ((desc.flags & mem::kFrameCsumNeeded) != 0 && !caps.tx_checksum) {
    wire::PacketView view;
    const auto drop = wire::parse_frame(copy, {.checksums_trusted = true}, view);
    if (drop == wire::ParseDrop::kNone) complete_checksum(copy, view);
    desc.flags = 0;
  }
  desc.flags = static_cast<std::uint8_t>(desc.flags & ~mem::kFrameCsumOk);
  member.pending.push_back(desc);
  return true;
}

/// A long TCP frame for a member that cannot cut it.
void Bridge::send_pieces(Member& member, const Framed& frame) {
  const int change = tag_change(member.options.vlan, frame.vlan, frame.tagged);
  const auto length = static_cast<std::size_t>(static_cast<int>(frame.bytes.size()) + change);
  if (length > scratch_.size()) return counts_.add(Count::kDropTooLong);
  copy_tagged(frame.bytes, change, frame.vlan, scratch_.data());
  const std::span<const std::byte> whole(scratch_.data(), length);
  wire::PacketView view;
  const bool sound =
      wire::parse_frame(whole, {.checksums_trusted = true}, view) == wire::ParseDrop::kNone &&
      view.protocol == wire::Protocol::kTcp && !view.is_fragment && view.end <= length &&
      frame.desc.gso_size != 0;
  if (!sound) return counts_.add(Count::kDropTooLong);
  TcpCutter cutter(whole, view, frame.desc.gso_size);
  while (!cutter.done()) {
    mem::FrameDesc desc;
    if (!claim(member, cutter.next_length(), desc)) return;
    cutter.write({member.pool->data(desc.slot) + desc.offset, desc.length});
    member.pending.push_back(desc);
  }
}

/// The frame itself can go to the member, without a copy.
bool Bridge::can_pass_on(const Member& member, const Framed& frame) const {
  const port::Caps& caps = member.port->caps();
  const bool needs_work = ((frame.desc.flags & kGso) != 0 && !caps.tx_gso) ||
                          ((frame.desc.flags & mem::kFrameCsumNeeded) != 0 && !caps.tx_checksum);
  return member.pool == &pool_ && !needs_work && frame.bytes.size() <= caps.max_frame &&
         member.options.vlan == 0 && member.pending.size() < kMostPending;
}

Bridge::Member* Bridge::only_member() const {
  Member* only = nullptr;
  for (const auto& member : members_) {
    if (!member) continue;
    if (only != nullptr) return nullptr;
    only = member.get();
  }
  return only;
}

Bridge::Sent Bridge::from_hosts(const mem::FrameDesc& desc) {
  const auto frame = frame_of(pool_, desc);
  if (!frame) {
    counts_.add(Count::kDropShort);
    return Sent::kCopied;
  }
  const std::uint8_t behind =
      frame->dst.is_multicast() ? LearningTable::kNone : table_.find(frame->dst, frame->vlan, now_);
  Member* member = behind != LearningTable::kNone ? members_[behind].get() : only_member();
  if (member == nullptr) {
    flood(*frame, LearningTable::kNone);
    return Sent::kCopied;
  }
  // Who sends for the hosts is told when there is no room; nobody else waits for a member.
  if (member->pending.size() >= kMostPending) flush(*member);
  if (member->pending.size() >= kMostPending) return Sent::kLater;
  if (can_pass_on(*member, *frame)) {
    member->pending.push_back(desc);
    return Sent::kTaken;
  }
  send(*member, *frame);
  return Sent::kCopied;
}

std::size_t Bridge::tx_burst(std::span<const mem::FrameDesc> packets) {
  std::size_t taken = 0;
  while (taken < packets.size()) {
    const std::size_t pieces = port::pieces_of(packets.subspan(taken));
    if (pieces == 0) break;
    const auto packet = packets.subspan(taken, pieces);
    if (pieces > 1 || !port::lies_within(pool_, packet)) {
      counts_.add(Count::kDropChain);
      port::free_packet(pool_, packet);
      ++counters_.tx_bad;
      taken += pieces;
      continue;
    }
    const Sent sent = from_hosts(packet[0]);
    if (sent == Sent::kLater) break;
    if (sent == Sent::kCopied) pool_.free(packet[0].slot);
    counts_.add(Count::kFromHosts);
    taken += pieces;
  }
  for (auto& member : members_) {
    if (member) flush(*member);
  }
  return taken;
}

}  // namespace ringway::bridge
