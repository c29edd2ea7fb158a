#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/address.h"
#include "steering/stack_id.h"

// The published table of one network: one file that the daemon writes and every program maps
// read-only.
//
//   0        +--------------------------+
//            | Header                   |  magic, layout, sequence, network, gateway
//   4 KiB    +--------------------------+
//            | hosts      256 x 128 B   |  [0] is the shared localhost
//            +--------------------------+
//            | stacks    4096 x  64 B   |  by StackId::index
//            +--------------------------+
//            | heads 2 x 65536 x 4 B    |  per protocol and port: 1 + first entry, 0: nobody
//            +--------------------------+
//            | ephemeral 2 x 768 x 4 B  |  per protocol and granule of 64 ports: StackId::raw, 0:
//            free
//            +--------------------------+
//            | entries  16384 x  32 B   |  one per (listener, holder), chained by port
//            +--------------------------+
//
// One writer. `sequence` is odd while it writes; a reader that saw it change reads again. Each
// single store also leaves a table that can be walked, so that a writer killed in the middle costs
// readers freshness, not safety. Data words are stored with release and loaded with acquire: that
// orders them against `sequence` without fences. The file is sparse: what is not used takes no
// memory.
namespace ringway::steering {

inline constexpr std::uint64_t kMagic = 0x3152454554535752U;  // "RWSTEER1"
inline constexpr std::uint32_t kLayoutVersion = 1;

inline constexpr std::uint32_t kMaxHosts = 256;
inline constexpr std::uint32_t kMaxStacks = 4096;
inline constexpr std::uint32_t kMaxEntries = 16384;
inline constexpr std::uint32_t kPorts = 65536;
/// Holders of one port and protocol, over all hosts: bounds every walk.
inline constexpr std::uint32_t kMaxHoldersPerPort = 1024;

inline constexpr std::uint32_t kEphemeralFirst = 16384;
inline constexpr std::uint32_t kGranulePorts = 64;
inline constexpr std::uint32_t kGranules = (kPorts - kEphemeralFirst) / kGranulePorts;

inline constexpr std::size_t kMaxHostName = 63;
inline constexpr std::size_t kMaxNetworkName = 31;
inline constexpr std::size_t kMaxProgramName = 31;

/// A trivially copyable value in shared memory, read and written word by word.
template <typename T>
class Cell {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % 8 == 0);
  using Words = std::array<std::uint64_t, sizeof(T) / 8>;

 public:
  T load() const {
    Words copy;
    for (std::size_t i = 0; i < copy.size(); ++i) {
      copy[i] = words_[i].load(std::memory_order_acquire);
    }
    return std::bit_cast<T>(copy);
  }
  void store(const T& value) {
    const auto copy = std::bit_cast<Words>(value);
    for (std::size_t i = 0; i < copy.size(); ++i) {
      words_[i].store(copy[i], std::memory_order_release);
    }
  }

 private:
  std::array<std::atomic<std::uint64_t>, sizeof(T) / 8> words_;
};

/// What a network is called and which addresses it gives out.
struct Network {
  std::array<char, kMaxNetworkName + 1> name{};
  base::IpAddress prefix4{};
  base::IpAddress prefix6{};
  std::uint8_t prefix4_length = 0;
  std::uint8_t prefix6_length = 0;
  std::uint8_t persistent = 0;  // kept when its last program has gone
  std::array<std::uint8_t, 5> reserved{};
};
static_assert(sizeof(Network) == 72);

struct Host {
  std::array<char, kMaxHostName + 1> name{};
  base::IpAddress ipv4{};
  base::IpAddress ipv6{};
  base::MacAddress mac{};
  HostIndex index = 0;
  std::uint8_t used = 0;
  std::array<std::uint8_t, 23> reserved{};
};
static_assert(sizeof(Host) == 128);

/// `start_time` (clock ticks since boot, /proc/PID/stat field 22) tells a process from a later one
/// of the same pid.
struct Stack {
  StackId id{};
  HostIndex host = 0;
  std::uint8_t alive = 0;
  std::uint8_t gateway = 0;
  std::int32_t pid = 0;
  std::uint32_t reserved = 0;
  std::uint64_t start_time = 0;
  std::array<char, kMaxProgramName + 1> program{};
  std::uint64_t arena_inode = 0;  // tells the stack's holders from others after the daemon changed
};
static_assert(sizeof(Stack) == 64);

/// Which destination addresses an entry answers to.
enum class Scope : std::uint8_t {
  kAny = 0,       // IPv4 and IPv6: a dual-stack bind to ::
  kAnyV4 = 1,     // a bind to 0.0.0.0
  kAnyV6 = 2,     // a bind to :: with IPV6_V6ONLY
  kSpecific = 3,  // `address` only
};

inline constexpr std::uint8_t kEntryUsed = 1;
inline constexpr std::uint8_t kEntryActive = 2;  // the holder polls or accepts
inline constexpr std::uint8_t kEntryReusePort =
    4;  // shares with every other holder that says so (SO_REUSEPORT)
inline constexpr std::uint8_t kEntryShared = 8;  // shares with stacks of the same process

struct Entry {
  std::uint32_t next = 0;  // 1 + index, 0: last of its port
  std::uint16_t port = 0;
  Protocol protocol = Protocol::kTcp;
  std::uint8_t flags = 0;
  HostIndex host = 0;
  Scope scope = Scope::kAny;
  std::uint8_t reserved = 0;
  StackId stack{};
  base::IpAddress address{};
};
static_assert(sizeof(Entry) == 32);

struct Header {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t layout;                    // kLayoutHash
  std::uint64_t identity;                  // drawn when the file is made
  std::atomic<std::uint64_t> sequence;     // odd: being written; half of it is the generation
  std::atomic<std::uint32_t> gateway;      // StackId::raw
  std::atomic<std::uint32_t> host_limit;   // 1 + highest host in use
  std::atomic<std::uint32_t> stack_limit;  // 1 + highest stack index ever used
  std::atomic<std::uint32_t> entry_limit;  // 1 + highest entry ever used
  std::atomic<std::uint32_t> next_link;    // the daemon's counter of link numbers
  std::uint32_t reserved;
  Cell<Network> network;
};
static_assert(sizeof(Header) <= 4096 && std::is_standard_layout_v<Header>);

struct TableLayout {
  Header header;
  std::array<std::byte, 4096 - sizeof(Header)> padding;
  std::array<Cell<Host>, kMaxHosts> hosts;
  std::array<Cell<Stack>, kMaxStacks> stacks;
  std::array<std::array<std::atomic<std::uint32_t>, kPorts>, kProtocols> heads;
  std::array<std::array<std::atomic<std::uint32_t>, kGranules>, kProtocols> ephemeral;
  std::array<Cell<Entry>, kMaxEntries> entries;
};
static_assert(std::is_standard_layout_v<TableLayout>);
static_assert(offsetof(TableLayout, hosts) == 4096);
static_assert(sizeof(TableLayout) ==
              4096 + 256 * 128 + 4096 * 64 + 2 * 65536 * 4 + 2 * 768 * 4 + 16384 * 32);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

inline constexpr std::uint32_t kLayoutHash = kMaxHosts * 3 + kMaxStacks * 5 + kMaxEntries * 7 +
                                             kGranules * 11 + sizeof(Host) * 13 +
                                             sizeof(Stack) * 17 + sizeof(Entry) * 19;

}  // namespace ringway::steering
