#pragma once

#include <cstdint>
#include <memory>

#include "base/unique_fd.h"
#include "driver/link/link_memory.h"
#include "port/tx_batch.h"
#include "ring/slot_receiver.h"
#include "ring/slot_sender.h"
#include "steering/stack_id.h"

namespace ringway::stack {

/// Largest IP packet on a link: what a big frame holds, a multiple of 8 for fragments.
inline constexpr std::uint16_t kLinkMtu = 33'264;
static_assert(kLinkMtu + 14 <= ring::kBigFrameBytes);

/// What a stack knows about one link. Plain data in the arena; all zero is a free slot.
struct LinkState {
  enum Status : std::uint8_t { kFree, kUp, kDown };

  steering::StackId peer;  ///< the stack at the other end
  std::uint32_t
      number;  ///< the daemon's number of the link: a forked holder asks for its memory by it
  Status status;
  std::uint8_t send_direction;     ///< 0 or 1
  std::uint8_t receive_direction;  ///< the other one; the same for a link of a stack to itself
  std::uint8_t gateway;  ///< 1: the peer is a gateway to the outside: loss is possible behind it
  std::uint32_t generation;  ///< tells this link from earlier ones of the same slot
  std::uint64_t bad_source;  ///< frames that claimed a flow of another link
  ring::SenderState sender;
  ring::ReceiverState receiver;
};

/// What it takes to use a link from this process: everything by value, fds owned.
struct LinkParts {
  driver::LinkMemory memory;
  driver::MailboxMemory peer_mailbox;
  base::UniqueFd doorbell;  ///< eventfd of the peer
};

/// A link that a stack is to have.
struct NewLink {
  LinkParts parts;
  steering::StackId peer;
  std::uint32_t number = 0;
  bool made_here = true;  ///< side 0
  bool to_self = false;
  bool gateway = false;
};

/// One link as this process has it mapped.
class Link {
 public:
  Link(LinkState& state, LinkParts parts, ring::RoomMade* room_made, port::TouchedPorts* touched,
       std::uint16_t index);

  ring::SlotReceiver& receiver() { return receiver_; }
  port::TxBatch& tx() { return tx_; }
  int doorbell() const { return parts_.doorbell.get(); }
  const ring::SlotReceiver& receiver() const { return receiver_; }
  /// What this end sends through: for captures, which read it again after it was sent.
  const ring::Direction& sent() const { return parts_.memory.direction(state_.send_direction); }
  mem::RegionView sent_region() const {
    return {parts_.memory.region(state_.send_direction),
            ring::kBigSlotBytes,
            ring::kFrames,
            ring::kSmallSlotBytes,
            ring::kSmallFrames,
            nullptr};
  }
  std::uint32_t generation() const { return generation_; }
  /// Tells the peer that something was published. Returns the doorbell to ring, or -1.
  int notify_peer();
  /// The same for room that was made in the peer's direction.
  int notify_room();

 private:
  int mark_and_bell();

  LinkState& state_;
  std::uint32_t generation_;
  LinkParts parts_;
  ring::SlotReceiver receiver_;
  port::TxBatch tx_;
};

}  // namespace ringway::stack
