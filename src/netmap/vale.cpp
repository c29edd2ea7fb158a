#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/sys.h"
#include "netmap/buffers.h"
#include "netmap/monitor.h"
#include "netmap/ports.h"
#include "netmap/process.h"
#include "netmap/sync.h"

// The switch is the sender's: its sync looks destinations up and copies into their rings. Packets
// of a batch are queued by destination first, so that a ring is locked once a batch.

namespace ringway::netmap {
namespace {

constexpr std::uint32_t kBatch = 1024;
constexpr std::uint32_t kEthernetHeader = 14;
constexpr std::uint32_t kPatience = 200;  // us for another sender that is inside the same ring
constexpr std::uint16_t kFlood = kMaxSwitchPorts;
constexpr std::uint16_t kDrop = kMaxSwitchPorts + 1;
constexpr std::uint16_t kEnd = UINT16_MAX;
constexpr std::uint64_t kGroupBit = 1;
constexpr std::uint64_t kMacMask = (std::uint64_t{1} << 48) - 1;

struct Packet {
  std::uint32_t first;  // slot
  std::uint16_t slots;
  std::uint16_t next;  // of the same destination
};

struct Queue {
  std::uint16_t head = kEnd;
  std::uint16_t tail = kEnd;
};

std::uint64_t load_mac(const std::byte* at) {
  std::uint64_t value = 0;
  std::memcpy(&value, at, 6);
  return value;
}

std::uint32_t mac_slot(std::uint64_t mac) {
  return static_cast<std::uint32_t>(mac * 0x9E3779B97F4A7C15 >> 54);
}
static_assert(kMacEntries == 1U << (64 - 54));

void copy_in_lines(std::byte* to, const std::byte* from, std::uint32_t bytes) {
  // Buffers are multiples of 64 bytes, so whole lines may be copied.
  for (std::uint32_t i = 0; i < bytes; i += 64) std::memcpy(to + i, from + i, 64);
}

/// Payload that lies in the sender's own memory; unreadable memory is an empty packet.
std::uint32_t copy_indirect(std::byte* to, std::uint64_t from, std::uint32_t bytes) {
  iovec local{to, bytes};
  iovec remote{reinterpret_cast<void*>(from), bytes};
  const long done =
      base::sys::raw(SYS_process_vm_readv, base::sys::getpid(), reinterpret_cast<long>(&local), 1,
                     reinterpret_cast<long>(&remote), 1, 0);
  return done == static_cast<long>(bytes) ? bytes : 0;
}

/// One batch of one sender.
class Batch {
 public:
  Batch(Kring& from, const Port& port)
      : from_(from),
        port_(port),
        switch_(registry()->switches[port.on_switch.load() - 1]),
        buffers_(from.allocator),
        slots_(ring_of(from)->slots()) {}

  /// Takes packets from slot `k` on; returns where it stopped.
  std::uint32_t collect(std::uint32_t k, std::uint32_t head);
  void deliver();

 private:
  std::uint16_t look_up(const Packet& packet);
  void learn(std::uint64_t source);
  void append(std::uint16_t target, std::uint16_t packet);
  void deliver_to(std::uint32_t place);
  void fill(std::uint32_t port, std::uint32_t ring, Queue unicast, Queue flood);
  std::uint32_t copy(Kring& to, const Buffers& out, const Packet& packet, std::uint32_t tail);
  std::uint32_t copy_slot(const abi::Slot& slot, const Piece& room, std::uint32_t skip);

  Kring& from_;
  const Port& port_;
  Switch& switch_;
  const Buffers buffers_;
  abi::Slot* const slots_;
  std::uint32_t count_ = 0;
  std::array<Packet, kBatch> packets_;
  std::array<Queue, kMaxSwitchPorts + 1> queues_;
  std::array<std::uint64_t, 4> touched_{};
};

std::uint32_t Batch::collect(std::uint32_t k, std::uint32_t head) {
  while (k != head && count_ < kBatch) {
    Packet packet{k, 0, kEnd};
    bool more = true;
    while (more && k != head && packet.slots < abi::kMaxFragments) {
      abi::Slot& slot = slots_[k];
      const std::uint16_t flags = once(slot.flags);
      more = (flags & abi::kMoreFrag) != 0;
      if ((flags & abi::kBufChanged) != 0) {
        slot.flags = static_cast<std::uint16_t>(flags & ~abi::kBufChanged);
      }
      ++packet.slots;
      k = next(k, from_.slots);
    }
    const std::uint16_t target = look_up(packet);
    if (target == kDrop) continue;
    packets_[count_] = packet;
    append(target, static_cast<std::uint16_t>(count_++));
  }
  return k;
}

void Batch::append(std::uint16_t target, std::uint16_t packet) {
  Queue& queue = queues_[target];
  if (queue.head == kEnd) {
    queue.head = packet;
    if (target < kFlood) touched_[target / 64] |= std::uint64_t{1} << (target % 64);
  } else {
    packets_[queue.tail].next = packet;
  }
  queue.tail = packet;
}

void Batch::learn(std::uint64_t source) {
  if ((source & kGroupBit) != 0) return;
  auto& entry = switch_.macs[mac_slot(source)];
  const std::uint64_t seen = source | std::uint64_t{port_.switch_port + 1} << 48;
  if (entry.load(std::memory_order_relaxed) != seen) {
    entry.store(seen, std::memory_order_relaxed);
  }
}

std::uint16_t Batch::look_up(const Packet& packet) {
  const abi::Slot slot = read_slot(slots_ + packet.first);
  const Piece piece = buffers_.piece(from_, slot);
  std::array<std::byte, 64> indirect;
  const std::byte* frame = piece.data + port_.header_bytes;
  if (piece.bytes < kEthernetHeader + port_.header_bytes) return kDrop;
  if ((slot.flags & abi::kIndirect) != 0) {
    const std::uint32_t wanted = kEthernetHeader + port_.header_bytes;
    if (copy_indirect(indirect.data(), slot.ptr, wanted) == 0) return kFlood;
    frame = indirect.data() + port_.header_bytes;
  }
  const std::uint64_t destination = load_mac(frame);
  learn(load_mac(frame + 6));
  if ((destination & kGroupBit) != 0) return kFlood;
  const std::uint64_t entry = switch_.macs[mac_slot(destination)].load(std::memory_order_relaxed);
  if ((entry & kMacMask) != destination || entry >> 48 == 0) return kFlood;
  const auto place = static_cast<std::uint16_t>((entry >> 48) - 1);
  return place == port_.switch_port ? kDrop : place;
}

void Batch::deliver() {
  if (queues_[kFlood].head != kEnd) {
    for (std::uint32_t place = 0; place < kMaxSwitchPorts; ++place) {
      if (switch_.port[place].load(std::memory_order_acquire) != 0) deliver_to(place);
    }
    return;
  }
  for (std::uint32_t word = 0; word < touched_.size(); ++word) {
    for (std::uint64_t bits = touched_[word]; bits != 0; bits &= bits - 1) {
      deliver_to(word * 64 + static_cast<std::uint32_t>(__builtin_ctzll(bits)));
    }
  }
}

void Batch::deliver_to(std::uint32_t place) {
  const std::uint32_t entry = switch_.port[place].load(std::memory_order_acquire);
  if (entry == 0 || place == port_.switch_port) return;
  const std::uint32_t index = entry - 1;
  const std::uint32_t rings = port_at(index).rx_rings;
  if (index == from_.port || rings == 0) return;
  const std::uint32_t ring = from_.index % rings;
  // What is flooded goes to the first ring; in the same ring the order is kept.
  if (ring == 0) return fill(index, 0, queues_[place], queues_[kFlood]);
  fill(index, 0, {}, queues_[kFlood]);
  fill(index, ring, queues_[place], {});
}

void Batch::fill(std::uint32_t index, std::uint32_t ring, Queue unicast, Queue flood) {
  std::uint16_t a = unicast.head;
  std::uint16_t b = flood.head;
  const Port& port = port_at(index);
  const std::uint32_t first = port.first_kring;
  if ((a == kEnd && b == kEnd) || port.up.load(std::memory_order_acquire) == 0) return;
  const std::uint64_t number = std::uint64_t{first} + port.tx_all() + ring;
  if (number >= kMaxKrings) return;
  Kring& to = registry()->krings[number];
  if (!to.deliver.lock(kPatience)) {
    to.dropped.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  if (to.active.load(std::memory_order_acquire) != 0 && to.port == index && to.users != 0) {
    const Buffers out(to.allocator);
    const std::uint32_t before = to.hwtail.load(std::memory_order_relaxed);
    std::uint32_t room =
        distance(before + 1, to.hwcur.load(std::memory_order_acquire) + to.slots, to.slots);
    std::uint32_t tail = before;
    while (a != kEnd || b != kEnd) {
      std::uint16_t& from = a < b ? a : b;
      const Packet& packet = packets_[from];
      if (packet.slots > room) break;  // this one and what follows is lost for this port
      room -= packet.slots;
      tail = copy(to, out, packet, tail);
      from = packet.next;
    }
    if (a != kEnd || b != kEnd) to.dropped.fetch_add(1, std::memory_order_relaxed);
    if (is_watched(to)) show_copies(to, to, before, tail);
    to.hwtail.store(tail, std::memory_order_release);
  }
  to.deliver.unlock();
  wake_sleepers(to);
}

std::uint32_t Batch::copy_slot(const abi::Slot& slot, const Piece& room, std::uint32_t skip) {
  const Piece piece = buffers_.piece(from_, slot);
  if (piece.bytes < skip) return 0;
  const std::uint32_t bytes = piece.bytes - skip;
  if (bytes > room.bytes) return 0;
  if ((slot.flags & abi::kIndirect) != 0) return copy_indirect(room.data, slot.ptr + skip, bytes);
  const bool whole_lines = from_.offset_mask == 0 && skip == 0 && room.bytes % 64 == 0;
  if (whole_lines) [[likely]] {
    copy_in_lines(room.data, piece.data, bytes);
  } else {
    std::memcpy(room.data, piece.data + skip, bytes);
  }
  return bytes;
}

std::uint32_t Batch::copy(Kring& to, const Buffers& out, const Packet& packet, std::uint32_t tail) {
  std::uint32_t k = packet.first;
  // A port with another virtio header length gets the frame with a header of its own, all zero.
  const std::uint32_t theirs = port_at(to.port).header_bytes;
  const bool same_header = theirs == port_.header_bytes;
  abi::Slot* slots = ring_of(to)->slots();
  for (std::uint32_t i = 0; i < packet.slots; ++i) {
    abi::Slot& place = slots[tail];
    Piece room = out.room(to, place);
    const std::uint32_t added = i == 0 && !same_header ? std::min(theirs, room.bytes) : 0;
    const std::uint32_t skipped = i == 0 && !same_header ? port_.header_bytes : 0;
    std::memset(room.data, 0, added);
    room = {room.data + added, room.bytes - added};
    const std::uint32_t bytes = copy_slot(read_slot(slots_ + k), room, skipped);
    place.len = static_cast<std::uint16_t>(bytes + added);
    const unsigned more = i + 1U < packet.slots ? unsigned{abi::kMoreFrag} : 0U;
    place.flags = static_cast<std::uint16_t>(unsigned{packet.slots} << 8 | more);
    if (to.offset_mask != 0) place.ptr = std::min(once(place.ptr) & to.offset_mask, to.max_offset);
    k = next(k, from_.slots);
    tail = next(tail, to.slots);
  }
  return tail;
}

}  // namespace

void forward(Kring& kring, std::uint32_t head) {
  const Port& port = port_at(kring.port);
  std::uint32_t k = kring.hwcur.load(std::memory_order_relaxed);
  while (k != head) {
    if (port.on_switch.load(std::memory_order_acquire) == 0) return;  // swallowed
    Batch batch(kring, port);
    k = batch.collect(k, head);
    batch.deliver();
  }
}

}  // namespace ringway::netmap
