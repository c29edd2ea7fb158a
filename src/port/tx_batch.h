#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "mem/frame_desc.h"
#include "mem/frame_pool.h"
#include "port/caps.h"
#include "port/port.h"
#include "ring/slot_sender.h"

namespace ringway::port {

/// Ports that have got something to flush since the last look. Process-local.
struct TouchedPorts {
  static constexpr std::uint32_t kMax = 2048;
  std::uint32_t count = 0;
  std::array<std::uint16_t, kMax> ports{};
};

/// What is about to leave through one port. Protocols reserve room, write a frame, and commit it;
/// the stack flushes once a turn. A link is written in place (no virtual call, no copy); any other
/// port gets frames of its pool in bursts.
///
/// reserve() -> write -> commit() or cancel(), one at a time. Not thread-safe.
class TxBatch {
 public:
  struct Packet {
    std::byte* data = nullptr;  ///< where the Ethernet header goes; nullptr: no room now
    std::uint32_t frame = UINT32_MAX;
    std::uint16_t offset = 0;
  };

  TxBatch() = default;
  /// For a link: `sender` writes straight into the peer's ring.
  TxBatch(ring::SlotSender sender, const Caps& caps, TouchedPorts* touched, std::uint16_t number)
      : sender_(sender), touched_(touched), number_(number), caps_(caps) {}
  /// For any other port; `pool` is the pool that it was opened with. `touched` (may be nullptr)
  /// gets `number` whenever there is something new to flush.
  TxBatch(Port* port, mem::FramePool* pool, TouchedPorts* touched, std::uint16_t number)
      : port_(port), pool_(pool), touched_(touched), number_(number), caps_(port->caps()) {}

  Packet reserve(std::uint32_t length) {
    if (sender_.valid()) [[likely]] {
      const auto r = sender_.reserve(length);
      if (r.data == nullptr) [[unlikely]]
        starved_ = true;
      return {r.data, r.frame, 0};
    }
    return reserve_pool(length);
  }
  void commit(const Packet& packet, std::uint32_t length, mem::FrameDesc desc) {
    if (sender_.valid()) [[likely]] {
      sender_.commit({packet.data, packet.frame}, length, desc);
      touch();
      return;
    }
    commit_pool(packet, length, desc);
  }
  void cancel(const Packet& packet);
  /// True if reserve() of a small frame would succeed.
  bool has_room() {
    if (sender_.valid()) return sender_.has_slot();
    return pending_count_ < kPending && pool_ != nullptr && pool_->free_count() != 0;
  }
  /// Hands pending frames to the port. For a link, returns true when something was published since
  /// the last flush, so that the caller looks whether the peer wants a mark or a bell.
  bool flush();
  /// A reserve() has failed since the last take_room(): somebody waits for room.
  bool starved() const { return starved_; }
  /// True, once, when somebody waited for room and there is some again.
  bool take_room() {
    if (!starved_ || !(sender_.valid() ? sender_.has_room_for_all() : has_room())) return false;
    starved_ = false;
    return true;
  }
  /// Something was committed since the last flush().
  bool pending() const { return pending_flush_ || pending_count_ != 0; }
  /// Frames that the port has not taken yet.
  bool blocked() const { return pending_count_ != 0; }

  const Caps& caps() const { return caps_; }
  Caps& caps() { return caps_; }
  ring::SlotSender& sender() { return sender_; }

 private:
  static constexpr std::uint32_t kPending = 256;

  void touch() {
    if (pending_flush_) return;
    pending_flush_ = true;
    if (touched_ != nullptr) touched_->ports[touched_->count++] = number_;
  }
  Packet reserve_pool(std::uint32_t length);
  void commit_pool(const Packet& packet, std::uint32_t length, mem::FrameDesc desc);

  ring::SlotSender sender_;
  Port* port_ = nullptr;
  mem::FramePool* pool_ = nullptr;
  TouchedPorts* touched_ = nullptr;
  std::uint16_t number_ = 0;
  Caps caps_;
  bool pending_flush_ = false;
  bool starved_ = false;
  std::uint32_t pending_count_ = 0;
  std::array<mem::FrameDesc, kPending> pending_{};
};

}  // namespace ringway::port
