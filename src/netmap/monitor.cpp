#include "netmap/monitor.h"

#include <algorithm>
#include <cstring>

#include "netmap/buffers.h"
#include "netmap/ports.h"
#include "netmap/process.h"

namespace ringway::netmap {
namespace {

constexpr std::uint32_t kPatience = 200;  // us: an owner is not held up by its monitors

bool watches(const Port& monitor, const Kring& ring) {
  const auto& range = ring.is_tx != 0 ? monitor.watched_tx : monitor.watched_rx;
  const std::uint32_t flag = ring.is_tx != 0 ? abi::kMonitorTx : abi::kMonitorRx;
  return monitor.kind.load() == PortKind::kMonitor && monitor.up.load() != 0 &&
         monitor.parent == ring.port && (monitor.monitor_flags & flag) != 0 &&
         ring.index >= range[0] && ring.index < range[1];
}

/// The monitor's receive ring for `ring`: host rings follow the others there too.
Kring* target_of(const Port& monitor, const Kring& ring) {
  const Port& owner = port_at(ring.port);
  const std::uint32_t own = ring.is_tx != 0 ? owner.tx_rings : owner.rx_rings;
  const std::uint32_t place = ring.index < own ? ring.index : monitor.rx_rings + (ring.index - own);
  const std::uint32_t first = monitor.first_kring;
  const std::uint64_t number = std::uint64_t{first} + monitor.tx_all() + place;
  if (first == kNone || number >= kMaxKrings || place >= monitor.rx_all()) return nullptr;
  return &registry()->krings[number];
}

/// Calls `show(target)` with each matching monitor's ring locked, then tells who waits for it.
template <typename Show>
void for_each_monitor(const Kring& ring, bool zero_copy, Show show) {
  Registry& r = *registry();
  const std::uint32_t limit = r.port_limit;
  for (std::uint32_t i = 0; i < limit; ++i) {
    const Port& monitor = r.ports[i];
    if (!watches(monitor, ring) || (monitor.zero_copy != 0) != zero_copy) continue;
    Kring* target = target_of(monitor, ring);
    if (target == nullptr || !target->deliver.lock(kPatience)) continue;
    if (target->active.load() != 0 && target->port == i) show(*target);
    target->deliver.unlock();
    wake_sleepers(*target);
  }
}

std::uint16_t flags_for(const Kring& ring, std::uint16_t flags) {
  constexpr std::uint16_t kKept = abi::kMoreFrag;
  const auto kept = static_cast<std::uint16_t>(flags & kKept);
  return ring.is_tx != 0 ? static_cast<std::uint16_t>(kept | abi::kTxMon) : kept;
}

std::uint32_t count_free(const Kring& target) {
  const std::uint32_t tail = target.hwtail.load(std::memory_order_relaxed);
  return distance(tail, target.hwcur.load(std::memory_order_acquire) + target.slots - 1,
                  target.slots);
}

void copy_slots(const Kring& ring, const Kring& source, std::uint32_t from, std::uint32_t to,
                Kring& target) {
  const Buffers in(source.allocator);
  const Buffers out(target.allocator);
  const std::uint32_t count = distance(from, to, source.slots);
  const std::uint32_t room = count_free(target);
  // The oldest of the batch are lost first.
  const std::uint32_t lost = count > room ? count - room : 0;
  if (lost != 0) target.dropped.fetch_add(lost, std::memory_order_relaxed);
  std::uint32_t tail = target.hwtail.load(std::memory_order_relaxed);
  for (std::uint32_t k = lost; k < count; ++k) {
    const abi::Slot slot = read_slot(source, (from + k) % source.slots);
    abi::Slot& place = ring_of(target)->slots()[tail];
    const Piece piece = in.piece(source, slot);
    const Piece room_there = out.room(target, place);
    const std::uint32_t bytes = std::min(piece.bytes, room_there.bytes);
    std::memcpy(room_there.data, piece.data, bytes);
    place.len = static_cast<std::uint16_t>(bytes);
    place.flags = flags_for(ring, slot.flags);
    tail = next(tail, target.slots);
  }
  target.hwtail.store(tail, std::memory_order_release);
}

void swap_slots(Kring& ring, std::uint32_t from, std::uint32_t to, Kring& target) {
  const Buffers buffers(ring.allocator);
  const std::uint32_t count = distance(from, to, ring.slots);
  const std::uint32_t room = count_free(target);
  const std::uint32_t lost = count > room ? count - room : 0;
  if (lost != 0) target.dropped.fetch_add(lost, std::memory_order_relaxed);
  std::uint32_t tail = target.hwtail.load(std::memory_order_relaxed);
  for (std::uint32_t k = lost; k < count; ++k) {
    abi::Slot& used = ring_of(ring)->slots()[(from + k) % ring.slots];
    abi::Slot& spare = ring_of(target)->slots()[tail];
    const std::uint32_t theirs = buffers.checked(spare.buf_idx);
    const std::uint32_t ours = buffers.checked(used.buf_idx);
    if (theirs == 0 || ours == 0) continue;
    spare.buf_idx = ours;
    spare.len = used.len;
    spare.ptr = used.ptr;
    spare.flags = static_cast<std::uint16_t>(flags_for(ring, used.flags) | abi::kBufChanged);
    used.buf_idx = theirs;
    used.flags = static_cast<std::uint16_t>(used.flags | abi::kBufChanged);
    tail = next(tail, target.slots);
  }
  target.hwtail.store(tail, std::memory_order_release);
}

void count_watchers(const Port& port, std::uint32_t change) {
  if (port.parent == kNone) return;
  const Port& parent = port_at(port.parent);
  if (parent.first_kring == kNone) return;
  const auto count = [&](bool is_tx, const auto& range, std::uint32_t flag) {
    if ((port.monitor_flags & flag) == 0) return;
    for (std::uint32_t i = range[0]; i < range[1]; ++i) {
      kring_at(parent, is_tx, i).monitors.fetch_add(change);
    }
  };
  count(true, port.watched_tx, abi::kMonitorTx);
  count(false, port.watched_rx, abi::kMonitorRx);
}

}  // namespace

void start_monitor(std::uint32_t index) { count_watchers(port_at(index), 1); }

void stop_monitor(std::uint32_t index) { count_watchers(port_at(index), UINT32_MAX); }

void orphan_monitors(std::uint32_t index) {
  Registry& r = *registry();
  for (std::uint32_t i = 0; i < r.port_limit; ++i) {
    Port& port = r.ports[i];
    if (port.kind.load() != PortKind::kMonitor || port.parent != index) continue;
    port.parent = kNone;
    for (std::uint32_t k = 0; k < port.krings; ++k) {
      wake_sleepers(r.krings[port.first_kring + k]);
    }
  }
}

void show_copies(const Kring& ring, const Kring& slots_of, std::uint32_t from, std::uint32_t to) {
  if (from == to) return;
  for_each_monitor(ring, false,
                   [&](Kring& target) { copy_slots(ring, slots_of, from, to, target); });
}

void show_used(Kring& ring, std::uint32_t from, std::uint32_t to) {
  if (from == to) return;
  // Copies are taken first, while the owner's slots still have the buffers.
  std::uint32_t swapped = kNone;
  for_each_monitor(ring, true, [&](Kring& target) {
    if (swapped == kNone) {
      swapped = target.port;
    } else {
      copy_slots(ring, ring, from, to, target);
    }
  });
  if (swapped == kNone) return;
  for_each_monitor(ring, true, [&](Kring& target) {
    if (target.port == swapped) swap_slots(ring, from, to, target);
  });
}

}  // namespace ringway::netmap
