#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "driver/dpdk/dpdk_port.h"
#include "port/packet.h"

namespace ringway::driver {
namespace {

using mem::FrameDesc;

constexpr std::uint32_t kEthernet = 14;
/// How often the device is asked about MTU and drops.
constexpr base::Duration kLookEvery = base::Duration::milliseconds(100);
constexpr std::uint64_t kSumGood = RTE_MBUF_F_RX_L4_CKSUM_GOOD;

}  // namespace

DpdkPort::DpdkPort(std::shared_ptr<DpdkDevice> device, std::uint16_t queue)
    : device_(std::move(device)), queue_(queue), pool_(device_->pool(queue)) {
  rte_ether_addr address{};
  if (rte_eth_macaddr_get(device_->id(), &address) == 0) {
    std::copy_n(address.addr_bytes, 6, caps_.mac.bytes.begin());
  }
  if (caps_.mac == base::MacAddress{} || caps_.mac.is_multicast()) {
    caps_.mac = {{0x02, 0x64, 0x70, 0x64, 0x6b, static_cast<std::uint8_t>(device_->id())}};
  }
  read_caps();
}

void DpdkPort::read_caps() {
  std::uint16_t mtu = 0;
  if (rte_eth_dev_get_mtu(device_->id(), &mtu) == 0 && mtu >= 68) caps_.mtu = mtu;
  caps_.max_frame = std::min<std::uint32_t>(
      caps_.mtu + kEthernet,
      std::min<std::uint32_t>(pool_.frames().slot_size() - mem::kMaxHeadroom, UINT16_MAX));
}

std::size_t DpdkPort::rx_burst(std::span<FrameDesc> out) {
  std::array<rte_mbuf*, kBurst> packets;
  std::size_t n = 0;
  while (n < out.size()) {
    const std::size_t wanted = std::min(out.size() - n, kBurst);
    const std::uint16_t got =
        rte_eth_rx_burst(device_->id(), queue_, packets.data(), static_cast<std::uint16_t>(wanted));
    for (std::uint16_t i = 0; i < got; ++i) n += accept(packets[i], out.subspan(n));
    if (got < wanted) break;
  }
  // What a device cannot put anywhere it keeps or loses without telling anybody.
  if (n == 0 && pool_.frames().free_count() == 0) ++counters_.rx_no_frame;
  return n;
}

/// Hands the frames of a packet out; their mbufs are left as the next user expects them.
std::size_t DpdkPort::accept(rte_mbuf* packet, std::span<FrameDesc> out) {
  if (packet->nb_segs > out.size() || packet->pkt_len == 0) {
    // Further packets of this burst may need the room: one that came in pieces can be too much.
    if (packet->pkt_len == 0) {
      ++counters_.rx_bad;
    } else {
      ++counters_.rx_too_long;
    }
    rte_pktmbuf_free(packet);
    return 0;
  }
  ++counters_.rx_frames;
  counters_.rx_bytes += packet->pkt_len;
  const bool good = (packet->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == kSumGood;
  std::size_t used = 0;
  for (rte_mbuf* piece = packet; piece != nullptr;) {
    rte_mbuf* const next = piece->next;
    FrameDesc& desc = out[used++];
    desc = {};
    desc.slot = pool_.slot(piece);
    desc.offset = piece->data_off;
    desc.length = piece->data_len;
    if (next != nullptr) desc.flags = mem::kFrameMore;
    piece->next = nullptr;
    piece->nb_segs = 1;
    piece = next;
  }
  if (good) out.front().flags |= mem::kFrameCsumOk;
  return used;
}

bool DpdkPort::sendable(std::span<const FrameDesc> packet) const {
  constexpr std::uint8_t kOffloads =
      mem::kFrameCsumNeeded | mem::kFrameGsoTcp4 | mem::kFrameGsoTcp6;
  const std::uint32_t length = port::length_of(packet);
  return port::lies_within(pool_.frames(), packet) && length <= caps_.max_frame &&
         length >= kEthernet && (packet.front().flags & kOffloads) == 0;
}

rte_mbuf* DpdkPort::chain(std::span<const FrameDesc> packet) {
  rte_mbuf* first = nullptr;
  rte_mbuf* last = nullptr;
  for (const FrameDesc& piece : packet) {
    rte_mbuf* mbuf = pool_.mbuf(piece.slot);
    mbuf->data_off = piece.offset;
    mbuf->data_len = piece.length;
    mbuf->ol_flags = 0;
    mbuf->next = nullptr;
    if (last != nullptr) last->next = mbuf;
    if (first == nullptr) first = mbuf;
    last = mbuf;
  }
  first->nb_segs = static_cast<std::uint16_t>(packet.size());
  first->pkt_len = port::length_of(packet);
  return first;
}

/// For devices that send no chains: all in one frame, and the pieces back to the pool. Null: no
/// frame is free.
rte_mbuf* DpdkPort::copy(std::span<const FrameDesc> packet) {
  const std::uint32_t slot = pool_.frames().allocate();
  if (slot == mem::FramePool::kNone) return nullptr;
  FrameDesc whole;
  whole.slot = slot;
  whole.offset = mem::kMinHeadroom;
  for (const FrameDesc& piece : packet) {
    std::memcpy(pool_.frames().data(slot) + whole.offset + whole.length,
                pool_.frames().data(piece.slot) + piece.offset, piece.length);
    whole.length = static_cast<std::uint16_t>(whole.length + piece.length);
  }
  return chain({&whole, 1});
}

std::size_t DpdkPort::tx_burst(std::span<const FrameDesc> packets) {
  struct Part {
    std::size_t begin;
    std::size_t pieces;
  };
  std::size_t taken = 0;
  for (bool more = true; more && taken < packets.size();) {
    std::array<rte_mbuf*, kBurst> mbufs;
    std::array<Part, kBurst> parts;
    std::uint16_t count = 0;
    std::size_t at = taken;
    while (count < kBurst && at < packets.size()) {
      const std::size_t pieces = port::pieces_of(packets.subspan(at));
      const auto packet = packets.subspan(at, pieces);
      if (pieces == 0 || !sendable(packet)) break;
      const bool whole = pieces == 1 || device_->chains();
      rte_mbuf* mbuf = whole ? chain(packet) : copy(packet);
      if (mbuf == nullptr) break;
      mbufs[count] = mbuf;
      parts[count++] = {at, pieces};
      at += pieces;
    }
    const std::uint16_t sent = count == 0
                                   ? std::uint16_t{0}
                                   : rte_eth_tx_burst(device_->id(), queue_, mbufs.data(), count);
    for (std::uint16_t i = 0; i < count; ++i) {
      const auto packet = packets.subspan(parts[i].begin, parts[i].pieces);
      const bool copied = parts[i].pieces > 1 && !device_->chains();
      if (i < sent) {
        ++counters_.tx_frames;
        counters_.tx_bytes += port::length_of(packet);
        taken = parts[i].begin + parts[i].pieces;
        if (copied) port::free_packet(pool_.frames(), packet);
        continue;
      }
      if (copied) pool_.frames().free(pool_.slot(mbufs[i]));
      for (const FrameDesc& piece : packet) {
        pool_.mbuf(piece.slot)->next = nullptr;
        pool_.mbuf(piece.slot)->nb_segs = 1;
      }
    }
    if (sent < count) break;
    const std::size_t pieces = port::pieces_of(packets.subspan(taken));
    const auto packet = packets.subspan(taken, pieces);
    more = pieces != 0;
    if (!more || sendable(packet)) {
      more = more && count != 0;
      continue;
    }
    ++counters_.tx_bad;
    port::free_packet(pool_.frames(), packet);
    taken += pieces;
  }
  return taken;
}

std::size_t DpdkPort::reclaim() {
  const int done = rte_eth_tx_done_cleanup(device_->id(), queue_, 0);
  return done > 0 ? static_cast<std::size_t>(done) : 0;
}

base::Result<int> DpdkPort::arm() {
  return base::fail(base::ErrorCode::kUnavailable, "a DPDK device is polled");
}

void DpdkPort::advance(base::Instant now) {
  if (now < look_) return;
  look_ = now + kLookEvery;
  read_caps();
  rte_eth_stats stats{};
  if (queue_ != 0 || rte_eth_stats_get(device_->id(), &stats) != 0) return;
  counters_.rx_missed += stats.imissed - std::min(missed_, stats.imissed);
  missed_ = stats.imissed;
}

}  // namespace ringway::driver
