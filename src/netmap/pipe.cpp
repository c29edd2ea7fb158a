#include <algorithm>
#include <array>
#include <cstring>

#include "netmap/buffers.h"
#include "netmap/monitor.h"
#include "netmap/ports.h"
#include "netmap/process.h"
#include "netmap/sync.h"

// A pipe moves slots, not payload, and the receiver fetches them: the sender writes only its own
// ring and one word, so a line of slots crosses once and comes back only if the receiver changed
// it. In a transmit ring `hwtail` is how far the receiver may read, in a receive ring `hwcur` is
// how far it has released.

namespace ringway::netmap {
namespace {

/// The end of the last complete packet before `head`, not before `from`.
std::uint32_t complete_until(const Kring& kring, std::uint32_t from, std::uint32_t head) {
  const abi::Slot* slots = ring_of(kring)->slots();
  std::uint32_t end = head;
  while (end != from) {
    const std::uint32_t last = previous(end, kring.slots);
    if ((once(slots[last].flags) & abi::kMoreFrag) == 0) break;
    end = last;
  }
  return end;
}

bool same(const abi::Slot& a, const abi::Slot& b) {
  const auto bits = [](const abi::Slot& slot) {
    std::array<std::uint64_t, 2> both;
    std::memcpy(both.data(), &slot, sizeof slot);
    return both;
  };
  return bits(a) == bits(b);
}

// The other end's lines are on their way while earlier ones are worked on.
constexpr std::uint32_t kAhead = 32;

void return_slots(Kring& rx, const Kring& tx, std::uint32_t from, std::uint32_t to) {
  const Buffers buffers(rx.allocator);
  abi::Slot* mine = ring_of(rx)->slots();
  abi::Slot* theirs = ring_of(tx)->slots();
  for (std::uint32_t k = from; k != to; k = next(k, rx.slots)) {
    const abi::Slot slot = read_slot(mine + k);
    if (same(slot, read_slot(theirs + k))) continue;
    if (buffers.checked(slot.buf_idx) != 0) theirs[k] = slot;
    if ((slot.flags & abi::kBufChanged) != 0) {
      mine[k].flags = static_cast<std::uint16_t>(slot.flags & ~abi::kBufChanged);
    }
  }
}

void fetch_slots(Kring& rx, const Kring& tx, std::uint32_t from, std::uint32_t to) {
  const Buffers buffers(rx.allocator);
  abi::Slot* mine = ring_of(rx)->slots();
  abi::Slot* theirs = ring_of(tx)->slots();
  for (std::uint32_t k = from; k != to; k = next(k, rx.slots)) {
    if (k % 4 == 0) __builtin_prefetch(theirs + std::min(k + kAhead, rx.slots - 1));
    abi::Slot slot = read_slot(theirs + k);
    if (buffers.checked(slot.buf_idx) == 0 || slot.len > buffers.size()) [[unlikely]] {
      slot.len = 0;
      slot.buf_idx = buffers.checked(slot.buf_idx);
    }
    if ((slot.flags & abi::kBufChanged) != 0) {
      theirs[k].flags = static_cast<std::uint16_t>(slot.flags & ~abi::kBufChanged);
    }
    mine[k] = slot;
  }
}

}  // namespace

void pipe_tx(Kring& kring, std::uint32_t head) {
  Kring& peer = registry()->krings[kring.peer];
  const std::uint32_t shown = kring.hwtail.load(std::memory_order_relaxed);
  const std::uint32_t end = complete_until(kring, shown, head);
  if (end != shown) {
    if (is_watched(peer)) show_copies(peer, kring, shown, end);
    kring.hwtail.store(end, std::memory_order_release);
    wake_sleepers(peer);
  }
  kring.hwcur.store(head, std::memory_order_relaxed);
  const std::uint32_t released = previous(peer.hwcur.load(std::memory_order_acquire), kring.slots);
  if (is_watched(kring))
    show_used(kring, next(kring.tail, kring.slots), next(released, kring.slots));
  kring.tail = released;
}

void pipe_rx(Kring& kring, std::uint32_t head) {
  Kring& peer = registry()->krings[kring.peer];
  const std::uint32_t from = kring.hwcur.load(std::memory_order_relaxed);
  if (from != head) {
    return_slots(kring, peer, from, head);
    kring.hwcur.store(head, std::memory_order_release);
    wake_sleepers(peer);
  }
  const std::uint32_t end = peer.hwtail.load(std::memory_order_acquire);
  if (end >= kring.slots) return;
  fetch_slots(kring, peer, kring.tail, end);
  kring.tail = end;
}

}  // namespace ringway::netmap
