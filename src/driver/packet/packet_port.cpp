#include "driver/packet/packet_port.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/bytes.h"
#include "base/sys.h"
#include "driver/tap/vnet_header.h"
#include "port/packet.h"

namespace ringway::driver {
namespace {

namespace sys = base::sys;
using base::Result;
using mem::FrameDesc;

constexpr std::uint32_t kEthernet = 14;
constexpr std::uint32_t kVlan = 4;
constexpr std::uint32_t kAddresses = 12;
/// No frame of the kernel is longer, unless somebody raised its gso_max_size.
constexpr std::uint32_t kLongest = 65536 + kEthernet + kVlan;
/// How often the kernel is asked about MTU, state and drops.
constexpr base::Duration kLookEvery = base::Duration::milliseconds(100);

}  // namespace

Result<std::vector<std::unique_ptr<port::Port>>> PacketPort::open(
    const PacketOptions& options, const std::vector<mem::FramePool*>& pools) {
  if (options.fd >= 0 && pools.size() > 1) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "a packet socket that was passed is one queue: leave out queues");
  }
  std::vector<std::unique_ptr<port::Port>> ports;
  std::uint16_t group = 0;
  for (mem::FramePool* pool : pools) {
    auto device =
        options.fd >= 0 ? adopt_packet(base::UniqueFd(options.fd)) : open_packet(options.name);
    if (!device) return tl::unexpected(std::move(device).error());
    auto port = open(std::move(*device), options, *pool);
    if (!port) return tl::unexpected(std::move(port).error());
    if (pools.size() > 1) {
      const auto joined = join_fanout((*port)->device(), group, options.fanout);
      if (!joined) return tl::unexpected(joined.error());
      group = *joined;
    }
    ports.push_back(std::move(*port));
  }
  return ports;
}

Result<std::unique_ptr<PacketPort>> PacketPort::open(PacketDevice device,
                                                     const PacketOptions& options,
                                                     mem::FramePool& pool) {
  std::unique_ptr<PacketPort> port(new PacketPort(std::move(device), pool));
  if (auto done = port->set_up(options); !done) return tl::unexpected(done.error());
  return port;
}

PacketPort::~PacketPort() {
  if (rings_.base != nullptr) ::munmap(rings_.base, rings_.rx_bytes + rings_.tx_bytes);
}

Result<void> PacketPort::set_up(const PacketOptions& options) {
  const auto mac = packet_mac(device_);
  if (!mac) return tl::unexpected(mac.error());
  caps_.mac = options.mac.value_or(*mac);
  if (caps_.mac == base::MacAddress{}) caps_.mac = {{0x02, 0x70, 0, 0, 0, 1}};  // lo has none
  caps_.mtu = packet_state(device_).mtu;
  const std::uint32_t room =
      std::min<std::uint32_t>(pool_.slot_size() - mem::kMaxHeadroom, UINT16_MAX);
  const std::uint32_t plain = caps_.mtu + kEthernet;
  if (caps_.mtu == 0 || room < plain + kVlan) {
    return base::fail(
        base::ErrorCode::kInvalidArgument,
        fmt::format("frames of {} bytes are too small for the MTU {} of {}; lower it (ip link set "
                    "{} mtu 1500)",
                    pool_.slot_size(), caps_.mtu, device_.name, device_.name));
  }
  offload_ = options.offload;
  caps_.tx_checksum = caps_.tx_gso = offload_;
  caps_.max_frame = offload_ ? room : std::min(plain, room);
  PacketRingSizes sizes;
  sizes.longest_frame = offload_ ? kLongest : plain + kVlan;
  sizes.frames = offload_ ? std::min<std::uint32_t>(options.frames, 128) : options.frames;
  sizes.block = options.block;
  auto rings = make_rings(device_, options, sizes);
  if (!rings) return tl::unexpected(rings.error());
  rings_ = *rings;
  const bool blocks = options.block.ns != 0;
  receiver_ = PacketReceiver(rings_, blocks, offload_);
  sender_ = PacketSender(rings_, blocks);
  return listen_on(device_);
}

std::size_t PacketPort::rx_burst(std::span<FrameDesc> out) {
  std::size_t n = 0;
  RingFrame frame;
  while (n < out.size() && receiver_.peek(frame)) {
    const std::size_t needed = 1 + frame.bytes.size() / (pool_.slot_size() - mem::kMaxHeadroom);
    if (pool_.free_count() < needed) {
      ++counters_.rx_no_frame;
      break;
    }
    if (n != 0 && out.size() - n < needed) break;
    n += receive(frame, out.subspan(n));
    receiver_.release();
  }
  return n;
}

std::size_t PacketPort::receive(const RingFrame& frame, std::span<FrameDesc> out) {
  if (frame.outgoing) return 0;
  if (frame.length > frame.bytes.size()) {
    ++counters_.rx_too_long;
    return 0;
  }
  FrameDesc known;
  if (frame.vnet != nullptr) {
    VnetHeader header;
    std::memcpy(&header, frame.vnet, sizeof header);
    if (!from_vnet(header, frame.length, known)) {
      ++counters_.rx_bad;
      return 0;
    }
  }
  if (frame.bytes.size() < kEthernet) {
    ++counters_.rx_bad;
    return 0;
  }
  const std::size_t used = fill(frame, out);
  if (used == 0) return 0;
  FrameDesc& first = out.front();
  first.flags |= known.flags;
  first.gso_size = known.gso_size;
  const unsigned shift = frame.has_vlan ? kVlan : 0;
  if (known.l4_offset != 0 && known.l4_offset + shift <= UINT8_MAX) {
    first.l4_offset = static_cast<std::uint8_t>(known.l4_offset + shift);
  }
  ++counters_.rx_frames;
  counters_.rx_bytes += port::length_of(out.first(used));
  return used;
}

/// Copies a frame into slots, its VLAN tag back in its place; 0: no room for it.
std::size_t PacketPort::fill(const RingFrame& frame, std::span<FrameDesc> pieces) {
  std::array<std::byte, kAddresses + kVlan> head;
  std::memcpy(head.data(), frame.bytes.data(), kAddresses);
  base::store_be16(head.data() + kAddresses, frame.vlan_type);
  base::store_be16(head.data() + kAddresses + 2, frame.vlan_tci);
  const std::size_t tagged = frame.has_vlan ? head.size() : 0;
  std::span<const std::byte> left = frame.bytes.subspan(frame.has_vlan ? kAddresses : 0);
  std::size_t used = 0;
  do {
    const std::uint32_t slot = used < pieces.size() ? pool_.allocate() : mem::FramePool::kNone;
    if (slot == mem::FramePool::kNone) {
      ++counters_.rx_too_long;
      port::free_packet(pool_, pieces.first(used));
      return 0;
    }
    FrameDesc& piece = pieces[used];
    piece = {};
    piece.slot = slot;
    piece.offset = static_cast<std::uint16_t>(mem::coloured_headroom(slot));
    std::byte* to = pool_.data(slot) + piece.offset;
    const std::size_t before = used == 0 ? tagged : 0;
    const std::size_t room =
        std::min<std::size_t>(pool_.slot_size() - piece.offset, UINT16_MAX) - before;
    const std::size_t part = std::min(left.size(), room);
    std::memcpy(to, head.data(), before);
    std::memcpy(to + before, left.data(), part);
    piece.length = static_cast<std::uint16_t>(before + part);
    left = left.subspan(part);
    if (!left.empty()) piece.flags = mem::kFrameMore;
    ++used;
  } while (!left.empty());
  return used;
}

std::size_t PacketPort::tx_burst(std::span<const FrameDesc> packets) {
  std::size_t taken = 0;
  while (taken < packets.size()) {
    const std::size_t pieces = port::pieces_of(packets.subspan(taken));
    if (pieces == 0) break;
    const auto packet = packets.subspan(taken, pieces);
    if (!sendable(packet)) {
      ++counters_.tx_bad;
    } else if (!send(packet)) {
      break;
    }
    port::free_packet(pool_, packet);
    taken += pieces;
  }
  flush();
  return taken;
}

bool PacketPort::sendable(std::span<const FrameDesc> packet) const {
  const std::uint32_t length = port::length_of(packet);
  constexpr std::uint8_t kOffloads =
      mem::kFrameCsumNeeded | mem::kFrameGsoTcp4 | mem::kFrameGsoTcp6;
  return port::lies_within(pool_, packet) && length >= kEthernet && length <= caps_.max_frame &&
         (offload_ || (packet.front().flags & kOffloads) == 0);
}

/// Copies a packet into the send ring; false: no slot is free. What cannot be sent counts as sent
/// badly.
bool PacketPort::send(std::span<const FrameDesc> packet) {
  std::byte* const slot = sender_.claim();
  if (slot == nullptr) return false;
  const std::uint32_t length = port::length_of(packet);
  std::byte* to = slot;
  if (offload_) {
    const FrameDesc& first = packet.front();
    VnetHeader header;
    const std::span<const std::byte> head(pool_.data(first.slot) + first.offset, first.length);
    if (!to_vnet(first, head, length, header) ||
        (header.gso_type == VnetHeader::kGsoNone && length > caps_.mtu + kEthernet + kVlan)) {
      ++counters_.tx_bad;
      return true;
    }
    std::memcpy(to, &header, sizeof header);
    to += sizeof header;
  }
  for (const FrameDesc& piece : packet) {
    std::memcpy(to, pool_.data(piece.slot) + piece.offset, piece.length);
    to += piece.length;
  }
  sender_.submit(static_cast<std::uint32_t>(to - slot));
  ++counters_.tx_frames;
  counters_.tx_bytes += length;
  return true;
}

/// Makes the kernel look at the ring. A full queue leaves the rest for the next time; an interface
/// that is down or gone loses it.
void PacketPort::flush() {
  if (sender_.pending() == 0) return;
  const msghdr nothing{};
  if (sys::sendmsg(device_.fd.get(), &nothing, MSG_DONTWAIT) >= 0) return;
  if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR) return;
  counters_.tx_error += sender_.withdraw();
}

std::size_t PacketPort::reclaim() {
  flush();
  return 0;
}

Result<int> PacketPort::arm() {
  clear_error(device_);
  return device_.fd.get();
}

void PacketPort::advance(base::Instant now) {
  if (now < look_) return;
  look_ = now + kLookEvery;
  flush();
  counters_.rx_missed += packet_drops(device_);
  const PacketState state = packet_state(device_);
  const std::uint32_t room = pool_.slot_size() - mem::kMaxHeadroom;
  if (state.mtu == 0 || state.mtu == caps_.mtu || room < state.mtu + kEthernet + kVlan) return;
  caps_.mtu = state.mtu;
  if (!offload_) caps_.max_frame = std::min(caps_.mtu + kEthernet, sender_.room());
}

}  // namespace ringway::driver
