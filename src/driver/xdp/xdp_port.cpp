#include "driver/xdp/xdp_port.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/sys.h"
#include "driver/xdp/xdp_abi.h"
#include "driver/xdp/xdp_checksum.h"

namespace ringway::driver {
namespace {

namespace sys = base::sys;
using base::Result;
using mem::FrameDesc;

constexpr std::uint32_t kEthernet = 14;
constexpr std::uint32_t kVlan = 4;
/// The kernel writes a frame this far into its slot (XDP_PACKET_HEADROOM).
constexpr std::uint32_t kRxHeadroom = 256;
/// Copy mode sends 32 frames a call (TX_BATCH_SIZE); the ring is empty after so many.
constexpr int kMostKicks = 2 * static_cast<int>(xdp::kRingEntries) / 32;

}  // namespace

Result<xdp::Umem> umem_of(mem::FramePool& pool) {
  const std::uint32_t chunk = pool.slot_size();
  const mem::RegionView view = pool.view();
  if ((chunk != 2048 && chunk != 4096) || reinterpret_cast<std::uintptr_t>(view.base) % 4096 != 0) {
    return base::fail(
        base::ErrorCode::kInvalidArgument,
        fmt::format("AF_XDP takes frames of 2048 or 4096 bytes from a page boundary on, not of {}",
                    chunk));
  }
  return xdp::Umem{view.base, std::size_t{chunk} * pool.size(), chunk};
}

XdpPort::XdpPort(mem::FramePool& pool)
    : pool_(pool),
      lent_((pool.size() + 63) / 64),
      owner_pid_(static_cast<std::uint32_t>(sys::getpid())) {}

Result<std::unique_ptr<XdpPort>> XdpPort::adopt(XdpQueues queues, mem::FramePool& pool) {
  if (auto umem = umem_of(pool); !umem) return tl::unexpected(umem.error());
  if (queues.sockets.empty()) {
    return base::fail(base::ErrorCode::kInvalidArgument, "an AF_XDP port needs a queue");
  }
  std::unique_ptr<XdpPort> port(new XdpPort(pool));
  for (base::UniqueFd& fd : queues.sockets) {
    auto socket = xdp::Socket::map(std::move(fd));
    if (!socket) return tl::unexpected(socket.error());
    port->queues_.push_back(std::move(*socket));
  }
  port->set_up(queues);
  return port;
}

void XdpPort::set_up(const XdpQueues& queues) {
  name_ = queues.device;
  binding_ = queues.binding;
  unfinished_checksums_ = queues.unfinished_checksums;
  chain_ = queues.chain && binding_.pieces;
  caps_.mac = queues.mac;
  const std::uint32_t room = pool_.slot_size() - kRxHeadroom - kEthernet - kVlan;
  caps_.mtu =
      chain_ ? queues.mtu : static_cast<std::uint16_t>(std::min<std::uint32_t>(queues.mtu, room));
  caps_.max_frame = caps_.mtu + kEthernet;
  caps_.tx_checksum = binding_.tx_checksum;
  const auto count = static_cast<std::uint32_t>(queues_.size());
  fill_target_ = std::min(xdp::kRingEntries, pool_.size() / 2 / count);
  for (xdp::Socket& queue : queues_) refill(queue);
}

XdpPort::~XdpPort() {
  kept_.reset();
  queues_.clear();
  // A forked child has a copy of the list; the frames are not its own to give back.
  if (owner_pid_ != static_cast<std::uint32_t>(sys::getpid())) return;
  for (std::uint32_t slot = 0; slot < pool_.size(); ++slot) {
    if ((lent_[slot / 64] >> slot % 64 & 1) != 0) pool_.free(slot);
  }
}

Result<int> XdpPort::arm() {
  if (queues_.size() == 1) return queues_.front().fd();
  if (all_) return all_.get();
  all_.reset(sys::epoll_create1(EPOLL_CLOEXEC));
  for (const xdp::Socket& queue : queues_) {
    epoll_event event{};
    event.events = EPOLLIN;
    if (!all_ || sys::epoll_ctl(all_.get(), EPOLL_CTL_ADD, queue.fd(), &event) != 0) {
      return base::fail_errno("the queues of an AF_XDP port cannot be waited for");
    }
  }
  return all_.get();
}

bool XdpPort::ready() const {
  return std::any_of(queues_.begin(), queues_.end(),
                     [](const xdp::Socket& queue) { return queue.rx.pending() != 0; });
}

std::size_t XdpPort::rx_burst(std::span<FrameDesc> out) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < queues_.size() && n < out.size(); ++i) {
    n += receive(queues_[next_queue_], out.subspan(n));
    next_queue_ = next_queue_ + 1 == queues_.size() ? 0 : next_queue_ + 1;
  }
  for (xdp::Socket& queue : queues_) refill(queue);
  return n;
}

std::size_t XdpPort::receive(xdp::Socket& queue, std::span<FrameDesc> out) {
  const std::uint32_t all = queue.rx.pending();
  std::uint32_t at = 0;
  std::size_t n = 0;
  while (at < all && n < out.size()) {
    const std::size_t pieces = packet_pieces(queue, at, all);
    if (pieces == 0) break;
    if (pieces > out.size() - n && n != 0) break;
    bool good = pieces <= out.size() - n && (pieces == 1 || chain_);
    if (!good) ++counters_.rx_too_long;
    for (std::size_t i = 0; good && i < pieces; ++i) {
      good = take(queue.rx.to_empty(at + static_cast<std::uint32_t>(i)), out[n + i]);
      if (!good) ++counters_.rx_bad;
    }
    if (good) {
      ++counters_.rx_frames;
      counters_.rx_bytes += port::length_of(out.subspan(n, pieces));
      for (std::size_t i = 0; i < pieces; ++i) take_back(out[n + i].slot);
      n += pieces;
    } else {
      drop(queue, at, pieces);
    }
    at += static_cast<std::uint32_t>(pieces);
  }
  if (at != 0) queue.rx.consume(at);
  return n;
}

std::size_t XdpPort::packet_pieces(const xdp::Socket& queue, std::uint32_t from,
                                   std::uint32_t all) const {
  for (std::uint32_t i = from; i < all; ++i) {
    if ((queue.rx.to_empty(i).options & xdp::kPacketContinues) == 0) return i - from + 1;
  }
  return 0;
}

bool XdpPort::take(const xdp_desc& from, FrameDesc& out) {
  const std::uint64_t slot = from.addr / pool_.slot_size();
  const auto offset = static_cast<std::uint32_t>(from.addr % pool_.slot_size());
  if (slot >= pool_.size() || from.len > pool_.slot_size() - offset) return false;
  out = {};
  out.slot = static_cast<std::uint32_t>(slot);
  out.offset = static_cast<std::uint16_t>(offset);
  out.length = static_cast<std::uint16_t>(from.len);
  if ((from.options & xdp::kPacketContinues) != 0) out.flags = mem::kFrameMore;
  if (unfinished_checksums_ &&
      xdp::checksum_unfinished({pool_.data(out.slot) + offset, out.length})) {
    out.flags |= mem::kFrameCsumOk;
  }
  return true;
}

void XdpPort::drop(xdp::Socket& queue, std::uint32_t from, std::size_t pieces) {
  for (std::size_t i = 0; i < pieces; ++i) {
    const std::uint64_t slot =
        queue.rx.to_empty(from + static_cast<std::uint32_t>(i)).addr / pool_.slot_size();
    if (slot >= pool_.size()) continue;
    take_back(static_cast<std::uint32_t>(slot));
    pool_.free(static_cast<std::uint32_t>(slot));
  }
}

void XdpPort::refill(xdp::Socket& queue) {
  const std::uint32_t have = queue.fill.pending();
  // A little at a time costs a cache line of the kernel's each time.
  if (have + fill_target_ / 4 > fill_target_) return;
  std::uint32_t n = 0;
  for (; have + n < fill_target_; ++n) {
    const std::uint32_t slot = pool_.allocate();
    if (slot == mem::FramePool::kNone) break;
    lend(slot);
    queue.fill.to_fill(n) = std::uint64_t{slot} * pool_.slot_size();
  }
  if (n != 0) queue.fill.publish(n);
  if (have + n == 0) ++counters_.rx_no_frame;
  if (n != 0 && queue.fill.needs_wakeup()) {
    msghdr nothing{};
    static_cast<void>(sys::recvmsg(queue.fd(), &nothing, MSG_DONTWAIT));
  }
}

std::size_t XdpPort::reclaim() {
  std::size_t all = 0;
  for (xdp::Socket& queue : queues_) {
    const std::uint32_t n = queue.completion.pending();
    for (std::uint32_t i = 0; i < n; ++i) {
      const std::uint64_t slot = queue.completion.to_empty(i) / pool_.slot_size();
      if (slot >= pool_.size()) continue;
      take_back(static_cast<std::uint32_t>(slot));
      pool_.free(static_cast<std::uint32_t>(slot));
    }
    if (n != 0) queue.completion.consume(n);
    all += n;
  }
  return all;
}

bool XdpPort::sendable(std::span<const FrameDesc> packet) const {
  const std::uint32_t length = port::length_of(packet);
  const std::uint8_t segments = mem::kFrameGsoTcp4 | mem::kFrameGsoTcp6;
  const std::uint8_t refused =
      static_cast<std::uint8_t>(segments | (caps_.tx_checksum ? 0 : mem::kFrameCsumNeeded));
  return port::lies_within(pool_, packet) && length >= kEthernet && length <= caps_.max_frame &&
         (packet.front().flags & refused) == 0;
}

/// Several frames as one, for devices that do not gather.
bool XdpPort::join(std::span<const FrameDesc> packet, FrameDesc& out) {
  if (port::length_of(packet) > pool_.slot_size() - mem::kMaxHeadroom) return false;
  const std::uint32_t slot = pool_.allocate();
  if (slot == mem::FramePool::kNone) return false;
  out = packet.front();
  out.slot = slot;
  out.offset = static_cast<std::uint16_t>(mem::coloured_headroom(slot));
  out.length = 0;
  for (const FrameDesc& piece : packet) {
    std::memcpy(pool_.data(slot) + out.offset + out.length, pool_.data(piece.slot) + piece.offset,
                piece.length);
    out.length = static_cast<std::uint16_t>(out.length + piece.length);
  }
  out.flags = static_cast<std::uint8_t>(out.flags & ~mem::kFrameMore);
  port::free_packet(pool_, packet);
  return true;
}

bool XdpPort::write_metadata(const FrameDesc& first, std::uint32_t length) {
  std::byte* frame = pool_.data(first.slot) + first.offset;
  const auto place = xdp::prepare_checksum({frame, first.length}, length);
  if (!place || first.offset < sizeof(xdp::TxMetadata)) return false;
  xdp::TxMetadata metadata{};
  metadata.flags = xdp::kTxChecksum;
  metadata.checksum_start = place->start;
  metadata.checksum_offset = place->offset;
  std::memcpy(frame - sizeof metadata, &metadata, sizeof metadata);
  return true;
}

XdpPort::Sent XdpPort::enqueue(std::span<const FrameDesc> packet, std::uint32_t& queued) {
  if (!sendable(packet)) return Sent::kBad;
  FrameDesc whole;
  const bool gather = binding_.pieces && packet.size() <= xdp::kMaxTxPieces;
  xdp::Socket& queue = queues_.front();
  if (queue.tx.room() < queued + (gather ? packet.size() : 1)) return Sent::kNoRoom;
  if (packet.size() > 1 && !gather) {
    if (!join(packet, whole)) return Sent::kBad;
    packet = {&whole, 1};
  }
  const std::uint32_t length = port::length_of(packet);
  const bool checksum = (packet.front().flags & mem::kFrameCsumNeeded) != 0;
  if (checksum && !write_metadata(packet.front(), length)) return Sent::kBad;
  for (const FrameDesc& piece : packet) {
    xdp_desc& desc = queue.tx.to_fill(queued++);
    desc.addr = std::uint64_t{piece.slot} * pool_.slot_size() + piece.offset;
    desc.len = piece.length;
    desc.options = (piece.flags & mem::kFrameMore) != 0 ? xdp::kPacketContinues : 0;
    if (checksum && &piece == &packet.front()) desc.options |= xdp::kHasTxMetadata;
    lend(piece.slot);
  }
  ++counters_.tx_frames;
  counters_.tx_bytes += length;
  return Sent::kYes;
}

std::size_t XdpPort::tx_burst(std::span<const FrameDesc> packets) {
  reclaim();
  xdp::Socket& queue = queues_.front();
  std::uint32_t queued = 0;
  std::size_t taken = 0;
  bool kicked = false;
  while (taken < packets.size()) {
    const std::size_t pieces = port::pieces_of(packets.subspan(taken));
    if (pieces == 0) break;
    const auto packet = packets.subspan(taken, pieces);
    const Sent sent = gone_ ? Sent::kBad : enqueue(packet, queued);
    if (sent == Sent::kNoRoom) {
      if (kicked) break;
      queue.tx.publish(std::exchange(queued, 0));
      kick(queue);
      kicked = true;
      continue;
    }
    if (sent == Sent::kBad) {
      ++(gone_ ? counters_.tx_error : counters_.tx_bad);
      port::free_packet(pool_, packet);
    }
    taken += pieces;
  }
  if (queued != 0) queue.tx.publish(queued);
  kick(queue);
  return taken;
}

/// Makes the kernel look at the ring until it has taken all or takes no more.
void XdpPort::kick(xdp::Socket& queue) {
  std::uint32_t before = queue.tx.pending();
  if (before == 0 || !queue.tx.needs_wakeup()) return;
  for (int i = 0; i < kMostKicks && before != 0; ++i) {
    const msghdr nothing{};
    const ssize_t sent = sys::sendmsg(queue.fd(), &nothing, MSG_DONTWAIT);
    const int error = sent < 0 ? errno : 0;
    if (error == ENXIO || error == ENODEV) {
      gone_ = true;
      return;
    }
    // ENOBUFS: the completion ring was full.
    const bool freed = reclaim() != 0;
    const std::uint32_t left = queue.tx.pending();
    const bool may_go_on = error == 0 || error == EAGAIN || (error == ENOBUFS && freed);
    if (!may_go_on || left == before || binding_.zero_copy) return;
    before = left;
  }
}

}  // namespace ringway::driver
