#include <algorithm>
#include <cerrno>
#include <cstring>

#include "netmap/allocator.h"
#include "netmap/monitor.h"
#include "netmap/ports.h"
#include "netmap/process.h"

namespace ringway::netmap {
namespace {

constexpr std::uint32_t kPatience = 20'000;  // us that we wait for a sender inside a ring

std::uint32_t take_krings(std::uint32_t port, std::uint32_t count) {
  auto& owner = registry()->kring_owner;
  std::uint32_t run = 0;
  for (std::uint32_t i = 0; i < kMaxKrings; ++i) {
    run = owner[i] == 0 ? run + 1 : 0;
    if (run < std::max(count, 1U)) continue;
    const std::uint32_t first = i + 1 - run;
    for (std::uint32_t k = first; k <= i; ++k) owner[k] = port + 1;
    return first;
  }
  return kNone;
}

void write_ring(const Kring& kring) {
  const Allocator& memory = registry()->allocators[kring.allocator];
  abi::Ring& ring = *ring_of(kring);
  std::memset(static_cast<void*>(&ring), 0, sizeof ring);
  const std::uint64_t within = kring.ring - span_of(kring.allocator);
  ring.buf_ofs = static_cast<std::int64_t>(memory.bufs.offset - within);
  ring.num_slots = kring.slots;
  ring.nr_buf_size = memory.bufs.size;
  ring.ringid = static_cast<std::uint16_t>(kring.index);
  ring.dir = static_cast<std::uint16_t>(kring.is_tx);
  ring.tail = kring.is_tx != 0 && kring.slots != 0 ? kring.slots - 1 : 0;
}

bool fill_slots(const Kring& kring) {
  Allocator& memory = registry()->allocators[kring.allocator];
  abi::Slot* slots = ring_of(kring)->slots();
  for (std::uint32_t i = 0; i < kring.slots; ++i) {
    const std::uint32_t buffer = take(kring.allocator, memory.bufs);
    slots[i] = {buffer == kNone ? 0 : buffer, static_cast<std::uint16_t>(memory.bufs.size), 0, 0};
    if (buffer != kNone) continue;
    for (std::uint32_t k = i; k < kring.slots; ++k) slots[k] = {};
    return false;
  }
  return true;
}

/// Memory of one ring. Receive rings of a pipe get no buffers: their slots are the sender's.
bool make_ring(Kring& kring, bool with_buffers) {
  Allocator& memory = registry()->allocators[kring.allocator];
  if (256 + 16 * std::uint64_t{kring.slots} > memory.rings.size) return false;
  const std::uint32_t object = take(kring.allocator, memory.rings);
  if (object == kNone) return false;
  kring.ring =
      span_of(kring.allocator) + memory.rings.offset + std::uint64_t{object} * memory.rings.size;
  write_ring(kring);
  kring.tail = ring_of(kring)->tail;
  kring.hwtail.store(kring.tail);
  if (!with_buffers) return true;
  return fill_slots(kring);
}

void give_buffers(const Kring& kring) {
  Allocator& memory = registry()->allocators[kring.allocator];
  const abi::Slot* slots = ring_of(kring)->slots();
  for (std::uint32_t i = 0; i < kring.slots; ++i) {
    give(kring.allocator, memory.bufs, slots[i].buf_idx);
  }
}

void end_ring(Kring& kring, bool with_buffers) {
  kring.active.store(0);
  // Somebody may be inside; once we have had both locks, whoever comes later sees it inactive.
  if (kring.deliver.lock(kPatience)) kring.deliver.unlock();
  if (kring.lock.lock(kPatience)) kring.lock.unlock();
  if (kring.ring == 0) return;
  Allocator& memory = registry()->allocators[kring.allocator];
  if (with_buffers) give_buffers(kring);
  const std::uint64_t within = kring.ring - span_of(kring.allocator) - memory.rings.offset;
  give(kring.allocator, memory.rings, static_cast<std::uint32_t>(within / memory.rings.size));
  kring.ring = 0;
}

void start_kring(Port& port, std::uint32_t number, std::uint32_t place) {
  Kring& kring = registry()->krings[number];
  std::memset(static_cast<void*>(&kring), 0, sizeof kring);
  kring.is_tx = place < port.tx_all() ? 1 : 0;
  kring.index = kring.is_tx != 0 ? place : place - port.tx_all();
  kring.port = index_of(port);
  kring.slots = kring.is_tx != 0 ? port.tx_slots : port.rx_slots;
  kring.allocator = port.allocator;
  kring.peer = kNone;
}

bool start_rings(std::uint32_t index) {
  Port& port = port_at(index);
  const std::uint32_t count = port.tx_all() + port.rx_all();
  port.first_kring = take_krings(index, count);
  if (port.first_kring == kNone) return false;
  port.krings = count;
  const bool is_pipe = port.kind.load() == PortKind::kPipe;
  bool all = true;
  for (std::uint32_t i = 0; i < count; ++i) {
    start_kring(port, port.first_kring + i, i);
    Kring& kring = registry()->krings[port.first_kring + i];
    all = all && make_ring(kring, kring.is_tx != 0 || !is_pipe);
    // To a device: where the first slot that it has not taken lies.
    if (port.kind.load() == PortKind::kDevice && kring.is_tx != 0) kring.hwtail.store(0);
  }
  return all;
}

void stop_rings(std::uint32_t index) {
  Port& port = port_at(index);
  if (port.first_kring == kNone) return;
  port.up.store(0);
  orphan_monitors(index);
  const bool is_pipe = port.kind.load() == PortKind::kPipe;
  for (std::uint32_t i = 0; i < port.krings; ++i) {
    Kring& kring = registry()->krings[port.first_kring + i];
    end_ring(kring, kring.is_tx != 0 || !is_pipe);
    wake_sleepers(kring);
    registry()->kring_owner[port.first_kring + i] = 0;
  }
  if (port.krings == 0) registry()->kring_owner[port.first_kring] = 0;
  port.first_kring = kNone;
  port.krings = 0;
}

/// Receive ring i of one end is transmit ring i of the other.
void link_ends(const Port& from, const Port& to) {
  for (std::uint32_t i = 0; i < from.tx_rings; ++i) {
    Kring& tx = kring_at(from, true, i);
    Kring& rx = kring_at(to, false, i);
    tx.peer = to.first_kring + to.tx_all() + i;
    tx.hwtail.store(0);  // of a pipe: how far the receiver may read
    rx.peer = from.first_kring + i;
    std::memcpy(static_cast<void*>(ring_of(rx)->slots()), ring_of(tx)->slots(),
                tx.slots * sizeof(abi::Slot));
  }
}

/// Slots that the receiver has go back to where their buffers are accounted for.
void return_slots(const Port& from, const Port& to) {
  for (std::uint32_t i = 0; i < from.tx_rings; ++i) {
    const Kring& tx = kring_at(from, true, i);
    const Kring& rx = kring_at(to, false, i);
    if (tx.ring == 0 || rx.ring == 0) continue;
    for (std::uint32_t k = rx.hwcur.load(); k != rx.tail; k = k + 1 == rx.slots ? 0 : k + 1) {
      ring_of(tx)->slots()[k] = ring_of(rx)->slots()[k];
    }
  }
}

void activate(std::uint32_t index) {
  Port& port = port_at(index);
  for (std::uint32_t i = 0; i < port.krings; ++i) {
    registry()->krings[port.first_kring + i].active.store(1, std::memory_order_release);
  }
  port.up.store(1, std::memory_order_release);
}

int bring_pipe_up(std::uint32_t index) {
  const std::uint32_t peer = port_at(index).peer;
  if (!start_rings(index) || !start_rings(peer)) {
    stop_rings(index);
    stop_rings(peer);
    return ENOMEM;
  }
  link_ends(port_at(index), port_at(peer));
  link_ends(port_at(peer), port_at(index));
  activate(peer);
  activate(index);
  return 0;
}

}  // namespace

Kring& kring_at(const Port& port, bool is_tx, std::uint32_t index) {
  return registry()->krings[port.first_kring + (is_tx ? 0 : port.tx_all()) + index];
}

int bring_up(std::uint32_t index) {
  Port& port = port_at(index);
  if (port.up.load() != 0) return 0;
  if (port.kind.load() == PortKind::kPipe) return bring_pipe_up(index);
  if (!start_rings(index)) {
    stop_rings(index);
    return ENOMEM;
  }
  activate(index);
  if (port.kind.load() == PortKind::kMonitor) start_monitor(index);
  return 0;
}

void bring_down_if_unused(std::uint32_t index) {
  Port& port = port_at(index);
  if (port.descriptors != 0 || port.up.load() == 0) return;
  if (port.kind.load() == PortKind::kPipe) {
    const std::uint32_t peer = port.peer;
    if (port_at(peer).descriptors != 0) return;
    return_slots(port, port_at(peer));
    return_slots(port_at(peer), port);
    stop_rings(peer);
  }
  if (port.kind.load() == PortKind::kMonitor) stop_monitor(index);
  stop_rings(index);
}

void wake_sleepers(Kring& kring) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (kring.sleepers.load(std::memory_order_relaxed) == 0) return;
  kring.sleepers.store(0, std::memory_order_relaxed);
  for (std::uint32_t word = 0; word < kring.bells.size(); ++word) {
    std::uint64_t bits = kring.bells[word].exchange(0);
    for (; bits != 0; bits &= bits - 1) {
      ring_bell(word * 64 + static_cast<std::uint32_t>(__builtin_ctzll(bits)));
    }
  }
}

}  // namespace ringway::netmap
