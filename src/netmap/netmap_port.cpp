#include "netmap/netmap_port.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "netmap/binding.h"
#include "netmap/buffers.h"
#include "netmap/hooks.h"
#include "netmap/ports.h"
#include "netmap/process.h"
#include "netmap/sync.h"
#include "port/packet.h"

namespace ringway::netmap {
namespace {

base::Error error_of(const std::string& name, int error) {
  using base::ErrorCode;
  ErrorCode code = ErrorCode::kSystem;
  if (error == ENXIO || error == ENOMEM) code = ErrorCode::kNotFound;
  if (error == EBUSY) code = ErrorCode::kExists;
  if (error == EPERM) code = ErrorCode::kPermission;
  if (error == EINVAL) code = ErrorCode::kInvalidArgument;
  return {code, error,
          fmt::format("cannot open netmap port '{}': {} (expected valeX:PORT, NAME{{ID, NAME}}ID "
                      "or an interface)",
                      name, std::strerror(error))};
}

/// A locally administered address that follows from the port's name.
base::MacAddress mac_of(std::string_view name) {
  const std::size_t hash = std::hash<std::string_view>{}(name);
  base::MacAddress mac;
  std::memcpy(mac.bytes.data(), &hash, mac.bytes.size());
  mac.bytes[0] = static_cast<std::uint8_t>((mac.bytes[0] & 0xfc) | 2);
  return mac;
}

int bind_to(std::uint32_t descriptor, std::string_view name) {
  const ControlLock lock;
  release_dead();
  abi::Register request{};
  request.nr_mode = abi::kModeAllNic;
  return bind(descriptor, name, &request, {});
}

}  // namespace

base::Result<std::unique_ptr<port::Port>> NetmapPort::open(const port::Spec& spec,
                                                           mem::FramePool& pool) {
  if (!spec.options.empty()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      fmt::format("a netmap port has no option '{}'", spec.options[0].first));
  }
  const int fd = hooks::open_device(O_RDWR | O_CLOEXEC);
  if (fd < 0) return tl::unexpected(error_of(spec.name, -fd));
  if (const int failed = bind_to(descriptor_of(fd), spec.name); failed != 0) {
    hooks::close_fd(fd);
    return tl::unexpected(error_of(spec.name, failed));
  }
  return std::unique_ptr<port::Port>(new NetmapPort(spec.name, fd, pool));
}

NetmapPort::NetmapPort(std::string name, int fd, mem::FramePool& pool)
    : name_(std::move(name)), fd_(fd), pool_(pool) {
  const Descriptor& d = descriptor_at(descriptor_of(fd_));
  rx_ = &kring_of(d, false, 0);
  tx_ = &kring_of(d, true, 0);
  rx_head_ = rx_->hwcur.load();
  tx_head_ = tx_->hwcur.load();
  caps_.mac = mac_of(name_);
  caps_.max_frame = 1514;
}

NetmapPort::~NetmapPort() { hooks::close_fd(fd_); }

/// Gives the slots that were copied out back and looks for new frames.
void NetmapPort::refill() {
  abi::Ring& ring = *ring_of(*rx_);
  ring.head = ring.cur = rx_head_;
  sync_rx(*rx_, false);
}

/// Copies the next slot into a frame. False if the pool is empty: the slot stays.
bool NetmapPort::take_slot(mem::FrameDesc* out) {
  const std::uint32_t slot_number = pool_.allocate();
  if (slot_number == mem::FramePool::kNone) {
    ++counters_.rx_no_frame;
    return false;
  }
  const abi::Slot slot = read_slot(*rx_, rx_head_);
  const Piece piece = Buffers(rx_->allocator).piece(*rx_, slot);
  const std::uint32_t headroom = mem::coloured_headroom(slot_number);
  rx_head_ = next(rx_head_, rx_->slots);
  if (piece.bytes == 0 || piece.bytes > pool_.slot_size() - headroom) {
    ++(piece.bytes == 0 ? counters_.rx_bad : counters_.rx_too_long);
    pool_.free(slot_number);
    *out = {};
    return true;
  }
  std::memcpy(pool_.data(slot_number) + headroom, piece.data, piece.bytes);
  *out = {};
  out->slot = slot_number;
  out->offset = static_cast<std::uint16_t>(headroom);
  out->length = static_cast<std::uint16_t>(piece.bytes);
  if ((slot.flags & abi::kMoreFrag) != 0) out->flags = mem::kFrameMore;
  ++counters_.rx_frames;
  counters_.rx_bytes += piece.bytes;
  return true;
}

std::size_t NetmapPort::rx_burst(std::span<mem::FrameDesc> out) {
  refill();
  if (rx_head_ == rx_->tail && armed_) {
    // Nothing: the next frame is to ring the bell, and one may have come in between.
    silence_own_bell();
    netmap::arm(*rx_);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    refill();
  }
  std::size_t count = 0;
  while (count < out.size() && rx_head_ != rx_->tail) {
    if (!take_slot(&out[count])) break;
    if (out[count].length != 0) ++count;
  }
  return count;
}

/// Copies one packet into slots. False if there is no room for it now.
bool NetmapPort::put_packet(std::span<const mem::FrameDesc> packet) {
  abi::Ring& ring = *ring_of(*tx_);
  const Buffers buffers(tx_->allocator);
  const std::uint32_t room = distance(tx_head_, tx_->tail, tx_->slots);
  if (packet.size() > room) return false;
  constexpr std::uint8_t kOffloads =
      mem::kFrameCsumNeeded | mem::kFrameGsoTcp4 | mem::kFrameGsoTcp6;
  const bool plain = std::none_of(packet.begin(), packet.end(), [&](const mem::FrameDesc& piece) {
    return piece.length > buffers.size() || (piece.flags & kOffloads) != 0;
  });
  if (!plain || !port::lies_within(pool_, packet) || port::length_of(packet) > caps_.max_frame) {
    ++counters_.tx_bad;
  } else {
    for (std::size_t i = 0; i < packet.size(); ++i) {
      abi::Slot& slot = ring.slots()[tx_head_];
      const Piece to = buffers.room(*tx_, slot);
      const std::uint32_t bytes = std::min<std::uint32_t>(packet[i].length, to.bytes);
      std::memcpy(to.data, pool_.data(packet[i].slot) + packet[i].offset, bytes);
      slot.len = static_cast<std::uint16_t>(bytes);
      slot.flags = i + 1 < packet.size() ? std::uint16_t{abi::kMoreFrag} : std::uint16_t{0};
      tx_head_ = next(tx_head_, tx_->slots);
    }
    ++counters_.tx_frames;
    counters_.tx_bytes += port::length_of(packet);
  }
  port::free_packet(pool_, packet);
  return true;
}

std::size_t NetmapPort::tx_burst(std::span<const mem::FrameDesc> packets) {
  abi::Ring& ring = *ring_of(*tx_);
  std::size_t taken = 0;
  sync_tx(*tx_);
  while (taken < packets.size()) {
    const std::size_t pieces = port::pieces_of(packets.subspan(taken));
    if (pieces == 0) break;
    if (!put_packet(packets.subspan(taken, pieces))) break;
    taken += pieces;
  }
  ring.head = ring.cur = tx_head_;
  sync_tx(*tx_);
  return taken;
}

base::Result<int> NetmapPort::arm() {
  if (own_bell() == kNone) {
    return base::fail(base::ErrorCode::kUnavailable, "no bell is free for this netmap port");
  }
  armed_ = true;
  netmap::arm(*rx_);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  refill();
  if (rx_head_ != rx_->tail) ring_bell(own_bell());
  return own_bell_fd();
}

}  // namespace ringway::netmap
