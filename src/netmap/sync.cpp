#include "netmap/sync.h"

#include <time.h>

#include "netmap/buffers.h"
#include "netmap/monitor.h"
#include "netmap/ports.h"
#include "netmap/process.h"

namespace ringway::netmap {
namespace {

struct Pointers {
  std::uint32_t head;
  std::uint32_t cur;
};

/// The program's pointers, if they lie where it may put them: hwcur <= head <= cur <= tail.
bool take_pointers(const Kring& kring, const abi::Ring& ring, Pointers* out) {
  const std::uint32_t n = kring.slots;
  const Pointers p{once(ring.head), once(ring.cur)};
  if (p.head >= n || p.cur >= n) return false;
  const std::uint32_t hwcur = kring.hwcur.load(std::memory_order_relaxed);
  const std::uint32_t to_head = distance(hwcur, p.head, n);
  const std::uint32_t to_cur = distance(hwcur, p.cur, n);
  *out = p;
  return to_head <= to_cur && to_cur <= distance(hwcur, kring.tail, n);
}

/// Wrong pointers go back to where they were last right, and slots that lead outside are emptied.
void reset_ring(Kring& kring, abi::Ring& ring) {
  const Buffers buffers(kring.allocator);
  for (std::uint32_t i = 0; i < kring.slots; ++i) {
    abi::Slot& slot = ring.slots()[i];
    if (buffers.checked(once(slot.buf_idx)) == 0) {
      slot.buf_idx = 0;
      slot.len = 0;
    } else if (once(slot.len) > buffers.size()) {
      slot.len = 0;
    }
  }
  const std::uint32_t good = kring.hwcur.load(std::memory_order_relaxed);
  ring.head = good;
  ring.cur = good;
  ring.tail = kring.tail;
  ++kring.failed;
}

void publish_tail(Kring& kring, abi::Ring& ring) {
  // The slots are written before the program can see that they are its own.
  std::atomic_thread_fence(std::memory_order_release);
  if (once(ring.tail) != kring.tail) ring.tail = kring.tail;
}

/// Port kinds whose transmit slots are free again as soon as they were looked at.
void consume_all(Kring& kring, std::uint32_t head) {
  show_used(kring, kring.hwcur.load(std::memory_order_relaxed), head);
  kring.hwcur.store(head, std::memory_order_release);
  kring.tail = previous(head, kring.slots);
}

bool transmit(Kring& kring, std::uint32_t head) {
  const Port& port = port_at(kring.port);
  const std::uint32_t hwcur = kring.hwcur.load(std::memory_order_relaxed);
  if (is_watched(kring)) show_copies(kring, kring, hwcur, head);
  switch (port.kind.load(std::memory_order_relaxed)) {
    case PortKind::kVale:
    case PortKind::kPersistent:
      forward(kring, head);
      consume_all(kring, head);
      return true;
    case PortKind::kPipe:
      pipe_tx(kring, head);
      return true;
    case PortKind::kDevice:
      return device_tx(kring, head);
    case PortKind::kMonitor:
      return hwcur == head;
    default:
      kring.hwcur.store(head, std::memory_order_relaxed);
      return true;
  }
}

bool receive(Kring& kring, std::uint32_t head) {
  const Port& port = port_at(kring.port);
  if (is_watched(kring)) show_used(kring, kring.hwcur.load(std::memory_order_relaxed), head);
  switch (port.kind.load(std::memory_order_relaxed)) {
    case PortKind::kPipe:
      pipe_rx(kring, head);
      return true;
    case PortKind::kDevice:
      return device_rx(kring, head);
    case PortKind::kNull:
      kring.hwcur.store(head, std::memory_order_relaxed);
      return true;
    default:
      kring.hwcur.store(head, std::memory_order_release);
      kring.tail = kring.hwtail.load(std::memory_order_acquire);
      return true;
  }
}

void stamp_time(abi::Ring& ring) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  ring.ts.tv_sec = now.tv_sec;
  ring.ts.tv_usec = now.tv_nsec / 1000;
}

template <typename Move>
Sync run(Kring& kring, Move move) {
  if (!kring.lock.try_lock()) return Sync::kSkipped;
  Sync result = Sync::kBad;
  if (kring.active.load(std::memory_order_acquire) != 0 && kring.ring != 0 && kring.slots != 0) {
    abi::Ring& ring = *ring_of(kring);
    Pointers p{};
    if (take_pointers(kring, ring, &p)) {
      if (move(ring, p.head)) result = Sync::kDone;
      publish_tail(kring, ring);
    } else {
      reset_ring(kring, ring);
    }
  } else if (kring.active.load() != 0) {
    result = Sync::kDone;  // a ring without slots
  }
  kring.lock.unlock();
  return result;
}

}  // namespace

Sync sync_tx(Kring& kring) {
  return run(kring, [&](abi::Ring&, std::uint32_t head) { return transmit(kring, head); });
}

Sync sync_rx(Kring& kring, bool stamp) {
  return run(kring, [&](abi::Ring& ring, std::uint32_t head) {
    const bool good = receive(kring, head);
    if (stamp) stamp_time(ring);
    return good;
  });
}

bool has_news(const Kring& kring) {
  if (kring.active.load(std::memory_order_relaxed) == 0) return true;
  if (kring.peer != kNone) {
    const Kring& peer = registry()->krings[kring.peer];
    if (kring.is_tx != 0) {
      const std::uint32_t free = previous(peer.hwcur.load(std::memory_order_relaxed), kring.slots);
      return free != kring.tail;
    }
    return peer.hwtail.load(std::memory_order_relaxed) != kring.tail;
  }
  return kring.is_tx == 0 && kring.hwtail.load(std::memory_order_relaxed) != kring.tail;
}

}  // namespace ringway::netmap
