#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "driver/packet/packet_device.h"

namespace ringway::driver {

/// A frame in the receive ring, as the kernel describes it. Valid until release().
struct RingFrame {
  std::span<const std::byte> bytes;
  const std::byte* vnet = nullptr;  ///< ten bytes; none without offloads
  std::uint32_t length = 0;         ///< on the wire; longer than `bytes`: cut off
  std::uint16_t vlan_tci = 0;       ///< taken out of the frame by the device, if has_vlan
  std::uint16_t vlan_type = 0;
  bool has_vlan = false;
  bool outgoing = false;  ///< sent by this machine
};

/// The receive ring: fixed slots that the kernel fills one by one (TPACKET_V2), or blocks of frames
/// that it hands over when full or after a time (V3), linux/if_packet.h. The kernel is trusted.
class PacketReceiver {
 public:
  PacketReceiver() = default;
  PacketReceiver(const PacketRings& rings, bool blocks, bool vnet)
      : base_(rings.base),
        piece_(rings.rx_piece),
        count_(rings.rx_count),
        blocks_(blocks),
        vnet_(vnet) {}

  /// The next frame, if there is one; the same again until release().
  bool peek(RingFrame& frame) { return blocks_ ? peek_block(frame) : peek_slot(frame); }
  /// The frame of the last peek() is done with.
  void release();

 private:
  bool peek_slot(RingFrame& frame) const;
  bool peek_block(RingFrame& frame);
  std::byte* piece() const { return base_ + std::size_t{at_} * piece_; }
  void next_piece() { at_ = at_ + 1 == count_ ? 0 : at_ + 1; }

  std::byte* base_ = nullptr;
  std::uint32_t piece_ = 0;
  std::uint32_t count_ = 0;
  std::uint32_t at_ = 0;
  bool blocks_ = false;
  bool vnet_ = false;
  std::uint32_t left_ = 0;      ///< frames of the block that are not done with
  std::byte* frame_ = nullptr;  ///< the next one of the block
};

/// The send ring: slots that the kernel sends in order after a send() on the socket.
class PacketSender {
 public:
  PacketSender() = default;
  PacketSender(const PacketRings& rings, bool blocks)
      : base_(rings.base + rings.rx_bytes),
        piece_(rings.tx_piece),
        count_(rings.tx_count),
        blocks_(blocks) {}

  /// Where the next frame goes; null: all slots are under way.
  std::byte* claim() const;
  std::uint32_t room() const { return piece_ - header_bytes(); }
  /// Hands the claimed slot with `length` bytes over.
  void submit(std::uint32_t length);
  /// Slots that the kernel has not looked at yet.
  std::uint32_t pending();
  /// Takes back what the kernel has not looked at; returns how many.
  std::uint32_t withdraw();

 private:
  std::uint32_t header_bytes() const;
  std::uint32_t* status(std::uint32_t index) const;
  std::uint32_t after(std::uint32_t index) const { return index + 1 == count_ ? 0 : index + 1; }

  std::byte* base_ = nullptr;
  std::uint32_t piece_ = 0;
  std::uint32_t count_ = 0;
  std::uint32_t head_ = 0;    ///< next slot of ours
  std::uint32_t kernel_ = 0;  ///< next slot of the kernel
  bool blocks_ = false;
};

}  // namespace ringway::driver
