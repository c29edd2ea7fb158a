#include "driver/tap/tap_port.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/random.h"
#include "base/sys.h"

namespace ringway::driver {
namespace {

namespace sys = base::sys;
using base::Result;
using mem::FrameDesc;

constexpr std::uint32_t kEthernet = 14;
constexpr std::uint32_t kVlan = 4;
/// No frame of the kernel is longer, unless somebody raised its gso_max_size.
constexpr std::uint32_t kLongest = 65536;
/// Below this, whole TCP frames are not worth their trouble.
constexpr std::uint32_t kLeastSegments = 3000;

/// A local address (IEEE 802, 8.4.4) that is the same at each start, so that neighbours need not
/// learn it anew.
base::MacAddress mac_of(std::string_view name) {
  std::uint64_t hash = 0x7461700000000001U;
  for (const char c : name) hash = base::Random::mix(hash ^ static_cast<unsigned char>(c));
  base::MacAddress mac{{0x02, 0x72}};
  for (std::size_t i = 2; i < mac.bytes.size(); ++i) {
    mac.bytes[i] = static_cast<std::uint8_t>(hash >> (8 * i));
  }
  return mac;
}

}  // namespace

Result<std::unique_ptr<TapPort>> TapPort::open(const TapOptions& options, mem::FramePool& pool) {
  auto device = open_tap(options.name);
  if (!device) return tl::unexpected(device.error());
  return open(std::move(*device), options, pool);
}

Result<std::unique_ptr<TapPort>> TapPort::open(TapDevice device, const TapOptions& options,
                                               mem::FramePool& pool) {
  std::unique_ptr<TapPort> port(new TapPort(std::move(device), pool));
  if (auto done = port->set_up(options); !done) return tl::unexpected(done.error());
  return port;
}

Result<std::vector<std::unique_ptr<port::Port>>> TapPort::open_queues(
    const TapOptions& options, const std::vector<mem::FramePool*>& pools) {
  std::vector<std::unique_ptr<port::Port>> ports;
  std::string name = options.name;
  for (mem::FramePool* pool : pools) {
    auto device = open_tap(name, pools.size() > 1);
    if (!device) return tl::unexpected(std::move(device).error());
    name = device->name;  // "rw%d" is numbered once
    auto port = open(std::move(*device), options, *pool);
    if (!port) return tl::unexpected(std::move(port).error());
    ports.push_back(std::move(*port));
  }
  return ports;
}

Result<void> TapPort::set_up(const TapOptions& options) {
  // Offloads first: an interface that is up may already send.
  if (auto set = set_tap_offload(device_, options.offload, false); !set) return set;
  if (auto set = configure_tap(device_, options); !set) return set;
  caps_.mac = options.mac.value_or(mac_of(device_.name));
  caps_.mtu = tap_mtu(device_);
  const std::uint32_t room = pool_.slot_size() - mem::kMaxHeadroom;
  if (room < caps_.mtu + kEthernet + kVlan) {
    return base::fail(
        base::ErrorCode::kInvalidArgument,
        fmt::format("frames of {} bytes are too small for the MTU {} of tap {}; lower it "
                    "(mtu=1500)",
                    pool_.slot_size(), caps_.mtu, device_.name));
  }
  caps_.tx_checksum = caps_.tx_gso = options.offload;
  caps_.max_frame =
      options.offload ? std::min<std::uint32_t>(room, UINT16_MAX) : caps_.mtu + kEthernet;
  if (options.chain) rx_pieces_ = (kLongest + room - 1) / room;
  if (!options.offload || !agree_on_segments()) return {};
  return set_tap_offload(device_, true, true);
}

/// True if no TCP frame from the kernel will be longer than what is received in one go.
bool TapPort::agree_on_segments() {
  const std::uint32_t room = pool_.slot_size() - mem::kMaxHeadroom;
  if (rx_pieces_ > 1 || room >= kLongest) return true;
  return room >= kLeastSegments && limit_gso(device_, room).has_value();
}

std::size_t TapPort::rx_burst(std::span<FrameDesc> out) {
  std::size_t n = 0;
  for (bool more = true; more && n < out.size();) {
    if (n != 0 && out.size() - n < rx_pieces_) break;
    n += receive(out.subspan(n), more);
  }
  return n;
}

/// Reads one frame into as many slots as it may need; `more` is false when there was none, or no
/// slot.
std::size_t TapPort::receive(std::span<FrameDesc> out, bool& more) {
  VnetHeader header{};
  std::byte beyond{};  // a byte here: the frame was longer than the slots
  std::array<iovec, port::kMaxPieces + 2> parts;
  const std::size_t wanted = std::min({out.size(), rx_pieces_, port::kMaxPieces});
  std::size_t pieces = 0;
  std::size_t room = 0;
  parts[0] = {&header, sizeof header};
  for (; pieces < wanted; ++pieces) {
    const std::uint32_t slot = pool_.allocate();
    if (slot == mem::FramePool::kNone) break;
    out[pieces] = {};
    out[pieces].slot = slot;
    out[pieces].offset = static_cast<std::uint16_t>(mem::coloured_headroom(slot));
    parts[pieces + 1] = {pool_.data(slot) + out[pieces].offset, room_in(slot)};
    room += room_in(slot);
  }
  more = pieces != 0;
  if (pieces == 0) {
    ++counters_.rx_no_frame;
    return 0;
  }
  parts[pieces + 1] = {&beyond, 1};
  ssize_t n;
  do {
    n = sys::readv(device_.fd.get(), parts.data(), static_cast<int>(pieces + 2));
  } while (n < 0 && errno == EINTR);
  const auto all = out.first(pieces);
  if (n > static_cast<ssize_t>(sizeof header)) {
    const std::size_t length = static_cast<std::size_t>(n) - sizeof header;
    if (length <= room) return accept(all, length, header);
    ++counters_.rx_too_long;
  } else if (n >= 0) {
    ++counters_.rx_bad;
  } else {
    more = false;
  }
  port::free_packet(pool_, all);
  return 0;
}

/// Gives each slot its part of the frame, and those that are not needed back.
std::size_t TapPort::accept(std::span<FrameDesc> pieces, std::size_t length,
                            const VnetHeader& header) {
  if (!from_vnet(header, static_cast<std::uint32_t>(length), pieces.front())) {
    ++counters_.rx_bad;
    port::free_packet(pool_, pieces);
    return 0;
  }
  ++counters_.rx_frames;
  counters_.rx_bytes += length;
  std::size_t used = 0;
  while (length != 0) {
    FrameDesc& piece = pieces[used++];
    const std::size_t part = std::min<std::size_t>(length, room_in(piece.slot));
    piece.length = static_cast<std::uint16_t>(part);
    length -= part;
    if (length != 0) piece.flags |= mem::kFrameMore;
  }
  port::free_packet(pool_, pieces.subspan(used));
  return used;
}

std::size_t TapPort::tx_burst(std::span<const FrameDesc> packets) {
  std::size_t taken = 0;
  while (taken < packets.size()) {
    const std::size_t pieces = port::pieces_of(packets.subspan(taken));
    if (pieces == 0) break;
    const auto packet = packets.subspan(taken, pieces);
    const Sent sent = send(packet);
    if (sent == Sent::kBusy) break;
    port::free_packet(pool_, packet);
    taken += pieces;
  }
  return taken;
}

bool TapPort::sendable(std::span<const FrameDesc> packet, VnetHeader& header) const {
  const std::uint32_t length = port::length_of(packet);
  if (!port::lies_within(pool_, packet) || length < kEthernet || length > UINT16_MAX) return false;
  const FrameDesc& first = packet.front();
  const std::span<const std::byte> head(pool_.data(first.slot) + first.offset, first.length);
  if (!to_vnet(first, head, length, header)) return false;
  if (header.flags != 0 && !caps_.tx_checksum) return false;
  return length <= caps_.max_frame &&
         (header.gso_type != VnetHeader::kGsoNone || length <= caps_.mtu + kEthernet + kVlan);
}

TapPort::Sent TapPort::send(std::span<const FrameDesc> packet) {
  VnetHeader header{};
  if (!sendable(packet, header)) {
    ++counters_.tx_bad;
    return Sent::kNo;
  }
  std::array<iovec, port::kMaxPieces + 1> parts;
  parts[0] = {&header, sizeof header};
  for (std::size_t i = 0; i < packet.size(); ++i) {
    parts[i + 1] = {pool_.data(packet[i].slot) + packet[i].offset, packet[i].length};
  }
  ssize_t n;
  do {
    n = sys::writev(device_.fd.get(), parts.data(), static_cast<int>(packet.size() + 1));
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN) return Sent::kBusy;
  if (n < 0) {
    ++counters_.tx_error;
    return Sent::kNo;
  }
  ++counters_.tx_frames;
  counters_.tx_bytes += port::length_of(packet);
  return Sent::kYes;
}

}  // namespace ringway::driver
