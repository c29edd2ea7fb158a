#include "driver/packet/packet_ring.h"

#include <linux/if_packet.h>
#include <net/ethernet.h>

#include <atomic>

namespace ringway::driver {
namespace {

template <typename T>
T* at(std::byte* base, std::size_t offset = 0) {
  return reinterpret_cast<T*>(base + offset);
}

/// The words that say whose a slot is: read before, and written after all else of the slot.
std::uint32_t load(std::uint32_t* word) {
  return std::atomic_ref(*word).load(std::memory_order_acquire);
}
void store(std::uint32_t* word, std::uint32_t value) {
  std::atomic_ref(*word).store(value, std::memory_order_release);
}

constexpr std::size_t kVnetBytes = 10;

template <typename Header>
void fill(RingFrame& frame, const Header& header, std::byte* raw, bool vnet) {
  std::byte* begin = raw + header.tp_mac;
  frame.bytes = {begin, header.tp_snaplen};
  frame.length = header.tp_len;
  // packet(7): the header lies right before the frame.
  frame.vnet = vnet ? begin - kVnetBytes : nullptr;
  const auto* from = at<sockaddr_ll>(raw, TPACKET_ALIGN(sizeof(Header)));
  frame.outgoing = from->sll_pkttype == PACKET_OUTGOING;
  frame.has_vlan = (header.tp_status & TP_STATUS_VLAN_VALID) != 0;
}

void set_vlan(RingFrame& frame, std::uint32_t status, std::uint16_t tci, std::uint16_t type) {
  frame.vlan_tci = tci;
  frame.vlan_type = (status & TP_STATUS_VLAN_TPID_VALID) != 0 ? type : std::uint16_t{ETH_P_8021Q};
}

}  // namespace

bool PacketReceiver::peek_slot(RingFrame& frame) const {
  std::byte* raw = piece();
  auto* header = at<tpacket2_hdr>(raw);
  if ((load(&header->tp_status) & TP_STATUS_USER) == 0) return false;
  fill(frame, *header, raw, vnet_);
  set_vlan(frame, header->tp_status, header->tp_vlan_tci, header->tp_vlan_tpid);
  return true;
}

bool PacketReceiver::peek_block(RingFrame& frame) {
  if (left_ == 0) {
    // A block that a time-out closed may be empty: it goes back at once.
    for (std::uint32_t tries = 0; tries < count_ && left_ == 0; ++tries) {
      auto* block = at<tpacket_block_desc>(piece());
      if ((load(&block->hdr.bh1.block_status) & TP_STATUS_USER) == 0) return false;
      left_ = block->hdr.bh1.num_pkts;
      frame_ = piece() + block->hdr.bh1.offset_to_first_pkt;
      if (left_ != 0) break;
      store(&block->hdr.bh1.block_status, TP_STATUS_KERNEL);
      next_piece();
    }
    if (left_ == 0) return false;
  }
  auto* header = at<tpacket3_hdr>(frame_);
  fill(frame, *header, frame_, vnet_);
  set_vlan(frame, header->tp_status, static_cast<std::uint16_t>(header->hv1.tp_vlan_tci),
           header->hv1.tp_vlan_tpid);
  return true;
}

void PacketReceiver::release() {
  if (!blocks_) {
    store(&at<tpacket2_hdr>(piece())->tp_status, TP_STATUS_KERNEL);
    next_piece();
    return;
  }
  frame_ += at<tpacket3_hdr>(frame_)->tp_next_offset;
  if (--left_ != 0) return;
  store(&at<tpacket_block_desc>(piece())->hdr.bh1.block_status, TP_STATUS_KERNEL);
  next_piece();
}

std::uint32_t PacketSender::header_bytes() const {
  return static_cast<std::uint32_t>(blocks_ ? TPACKET_ALIGN(sizeof(tpacket3_hdr))
                                            : TPACKET_ALIGN(sizeof(tpacket2_hdr)));
}

std::uint32_t* PacketSender::status(std::uint32_t index) const {
  std::byte* raw = base_ + std::size_t{index} * piece_;
  return blocks_ ? &at<tpacket3_hdr>(raw)->tp_status : &at<tpacket2_hdr>(raw)->tp_status;
}

std::byte* PacketSender::claim() const {
  // One slot stays empty, so that head and kernel_ tell full from empty.
  if (after(head_) == kernel_ || load(status(head_)) != TP_STATUS_AVAILABLE) return nullptr;
  return base_ + std::size_t{head_} * piece_ + header_bytes();
}

void PacketSender::submit(std::uint32_t length) {
  std::byte* raw = base_ + std::size_t{head_} * piece_;
  if (blocks_) {
    at<tpacket3_hdr>(raw)->tp_next_offset = 0;
    at<tpacket3_hdr>(raw)->tp_len = length;
  } else {
    at<tpacket2_hdr>(raw)->tp_len = length;
  }
  store(status(head_), TP_STATUS_SEND_REQUEST);
  head_ = after(head_);
}

std::uint32_t PacketSender::pending() {
  while (kernel_ != head_ && load(status(kernel_)) != TP_STATUS_SEND_REQUEST) {
    kernel_ = after(kernel_);
  }
  return head_ >= kernel_ ? head_ - kernel_ : head_ + count_ - kernel_;
}

std::uint32_t PacketSender::withdraw() {
  const std::uint32_t count = pending();
  for (; head_ != kernel_;) {
    head_ = head_ == 0 ? count_ - 1 : head_ - 1;
    store(status(head_), TP_STATUS_AVAILABLE);
  }
  return count;
}

}  // namespace ringway::driver
