#include "stack/link.h"

#include <utility>

#include "ring/barrier.h"

namespace ringway::stack {
namespace {

/// Locally administered; frames of a link meet nobody who would look at them.
constexpr base::MacAddress kLinkMac{{0x02, 0x52, 0x57, 0, 0, 1}};

port::Caps caps_of(const LinkState& state) {
  port::Caps caps;
  caps.mac = kLinkMac;
  caps.mtu = state.gateway != 0 ? 1500 : kLinkMtu;
  caps.max_frame = ring::SlotSender::max_frame_bytes();
  caps.reliable = state.gateway == 0;
  caps.neighbours_known = true;
  caps.tx_checksum = true;
  caps.tx_gso = true;
  caps.rx_checksum_trusted = true;
  return caps;
}

}  // namespace

Link::Link(LinkState& state, LinkParts parts, ring::RoomMade* room_made,
           port::TouchedPorts* touched, std::uint16_t index)
    : state_(state),
      generation_(state.generation),
      parts_(std::move(parts)),
      receiver_(&state.receiver, &parts_.memory.direction(state.receive_direction),
                parts_.memory.region(state.receive_direction), room_made, index),
      tx_(ring::SlotSender(&state.sender, &parts_.memory.direction(state.send_direction),
                           parts_.memory.region(state.send_direction)),
          caps_of(state), touched, index) {
  receiver_.set_mark_bit(index);
}

int Link::mark_and_bell() {
  return parts_.peer_mailbox.get()->knock(tx_.sender().mark_bit()) ? parts_.doorbell.get() : -1;
}

int Link::notify_peer() {
  ring::AsymmetricBarrier::light();
  if (tx_.sender().receiver_is_hot()) [[likely]]
    return -1;
  return mark_and_bell();
}

int Link::notify_room() {
  ring::AsymmetricBarrier::light();
  return receiver_.sender_waits() ? mark_and_bell() : -1;
}

}  // namespace ringway::stack
