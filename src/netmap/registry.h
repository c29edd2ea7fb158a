#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "netmap/abi.h"
#include "netmap/ring_lock.h"

/// What the netmap programs of one network share: one sparse file, mapped whole by each.
///
///   0             kControlBytes                                    kFileBytes
///   +-------------+---------------+---------------+- - -+----------+
///   | Registry    | allocator 0   | allocator 1   |     |          |   kSpan bytes each, the last
///   +-------------+---------------+---------------+- - -+----------+   kMapBytes of it its bitmaps
///
/// Programs map their part of an allocator's span a second time and write to it as they like; the
/// Registry itself only the provider writes. All numbers in it are indices.
namespace ringway::netmap {

constexpr std::uint64_t kMagic = 0x3150414d54454e52;  // "RNETMAP1"
constexpr std::uint32_t kMaxDescriptors = 4096;
constexpr std::uint32_t kMaxPorts = 1024;
constexpr std::uint32_t kMaxKrings = 8192;
constexpr std::uint32_t kMaxSwitches = 8;
constexpr std::uint32_t kMaxSwitchPorts = 254;
constexpr std::uint32_t kMaxAllocators = 1000;
constexpr std::uint32_t kMaxBells = 1024;
constexpr std::uint32_t kMacEntries = 1024;
constexpr std::uint32_t kNone = UINT32_MAX;

constexpr std::uint64_t kControlBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kSpan = std::uint64_t{1} << 30;
constexpr std::uint64_t kMapBytes = std::uint64_t{4} << 20;
constexpr std::uint64_t kFileBytes = kControlBytes + kMaxAllocators * kSpan;

/// Objects of one kind of an allocator.
struct Pool {
  std::uint32_t size;   ///< bytes of an object
  std::uint32_t total;  ///< objects
  std::uint32_t used;
  std::uint32_t hint;    ///< where the search for a free one begins
  std::uint64_t offset;  ///< within the span
  std::uint64_t map;     ///< of its bitmap within the span: a set bit is an object in use
};

struct Allocator {
  std::uint32_t in_use;  ///< references: ports and requests under way
  std::uint32_t is_private;
  std::uint64_t bytes;        ///< nr_memsize
  std::uint64_t user_memory;  ///< address that extmem gave; 0: none
  std::uint32_t user_pid;
  std::uint32_t extra_total;
  Pool ifs, rings, bufs;
};

/// The provider's side of a ring. Lines are sorted by who writes them.
struct alignas(64) Kring {
  // set when the port is made
  std::atomic<std::uint32_t> active;  ///< 0: senders must leave it alone
  std::uint32_t port;
  std::uint32_t index;  ///< in its direction, host rings after the others
  std::uint32_t is_tx;
  std::uint32_t slots;
  std::uint32_t allocator;
  std::uint64_t ring;  ///< offset of the abi::Ring in the file; 0: none
  std::uint64_t offset_mask;
  std::uint64_t max_offset;
  std::uint32_t peer;                   ///< of a pipe: the ring at the other end
  std::uint32_t users;                  ///< descriptors bound to it
  std::uint32_t exclusive;              ///< descriptor + 1 that holds it alone
  std::atomic<std::uint32_t> monitors;  ///< of a ring: monitors that look at it
  // written by who syncs the ring
  alignas(64) RingLock lock;
  std::atomic<std::uint32_t> hwcur;
  std::uint32_t tail;  ///< as the program was told
  std::uint32_t failed;
  // written by who fills it from outside (VALE, monitors, devices)
  alignas(64) RingLock deliver;
  std::atomic<std::uint32_t> hwtail;
  std::atomic<std::uint64_t> dropped;
  // bells of those who sleep on it
  alignas(64) std::atomic<std::uint32_t> sleepers;
  std::array<std::atomic<std::uint64_t>, kMaxBells / 64> bells;
};

enum class PortKind : std::uint32_t { kFree, kVale, kPersistent, kPipe, kMonitor, kNull, kDevice };

struct Port {
  std::atomic<PortKind> kind;
  std::atomic<std::uint32_t> up;  ///< its rings exist
  char name[abi::kNameBytes];
  std::uint32_t allocator;  ///< kNone until the rings exist
  std::uint32_t wanted_allocator;
  std::uint32_t tx_rings, rx_rings, host_tx, host_rx;
  std::uint32_t tx_slots, rx_slots;
  std::uint32_t extra_wanted;
  std::uint32_t first_kring;  ///< tx, host tx, rx, host rx; kNone until the rings exist
  std::uint32_t krings;
  std::uint32_t descriptors;             ///< bound to it
  std::uint32_t children;                ///< pipes on it
  std::uint32_t automatic;               ///< made for a pipe: goes with the last one
  std::atomic<std::uint32_t> on_switch;  ///< switch + 1
  std::uint32_t switch_port;
  std::uint32_t host_switch_port;  ///< + 1; of an attached device with its host side
  std::uint32_t attached;          ///< by VALE_ATTACH
  std::uint32_t second_switch;     ///< + 1: a further attachment of a persistent port
  std::uint32_t second_switch_port;
  std::uint32_t header_bytes;
  std::uint32_t polling;
  std::uint32_t peer, parent;  ///< of a pipe; a monitor's parent is what it looks at
  std::uint32_t role;          ///< of a pipe: 0 master, 1 slave
  std::uint32_t zero_copy;     ///< of a monitor
  std::uint32_t monitor_flags;
  std::uint32_t generation;
  std::uint32_t parent_generation;
  std::uint32_t mtu;
  std::uint32_t owner_pid;                  ///< of a device: the process that has it open
  std::array<std::uint16_t, 2> watched_tx;  ///< of a monitor: [first, last)
  std::array<std::uint16_t, 2> watched_rx;

  std::uint32_t tx_all() const { return tx_rings + host_tx; }
  std::uint32_t rx_all() const { return rx_rings + host_rx; }
};

struct Switch {
  std::uint32_t ports;  ///< 0: free
  char name[abi::kNameBytes];
  std::array<std::atomic<std::uint32_t>, kMaxSwitchPorts> port;  ///< port + 1
  std::array<std::uint8_t, kMaxSwitchPorts> is_host;
  /// Source address (48 bits) with the switch port + 1 above it.
  std::array<std::atomic<std::uint64_t>, kMacEntries> macs;
};

enum class State : std::uint32_t { kFree, kOpen, kBound };

struct Descriptor {
  std::atomic<State> state;
  std::uint32_t port;
  std::uint32_t mode, ringid;
  std::uint64_t flags;
  std::uint32_t tx_first, tx_last, rx_first, rx_last;  ///< rings [first, last)
  std::uint64_t netmap_if;                             ///< offset in the span
  std::uint32_t exclusive;
  std::atomic<std::uint32_t> csb;      ///< CSB mode
  std::atomic<std::uint32_t> looping;  ///< 1 in the loop, 2 asked to stop
  std::uint64_t csb_atok, csb_ktoa;    ///< addresses in the process that set them
};

struct Registry {
  std::atomic<std::uint64_t> magic;
  std::uint64_t bytes;
  RingLock lock;  ///< for all that is not on the path
  std::uint32_t descriptor_limit, port_limit, next_allocator;
  std::atomic<std::uint32_t> monitors;  ///< how many there are
  std::array<Descriptor, kMaxDescriptors> descriptors;
  std::array<Port, kMaxPorts> ports;
  std::array<Switch, kMaxSwitches> switches;
  std::array<Allocator, kMaxAllocators> allocators;
  std::array<Kring, kMaxKrings> krings;
  std::array<std::uint32_t, kMaxKrings> kring_owner;  ///< port + 1
};
static_assert(sizeof(Registry) <= kControlBytes);

}  // namespace ringway::netmap
