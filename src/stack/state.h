#pragma once

#include <array>
#include <cstdint>

#include "base/address.h"
#include "base/counters.h"
#include "base/random.h"
#include "base/time.h"
#include "ip/ip.h"
#include "mem/arena.h"
#include "mem/byte_queue.h"
#include "mem/slab.h"
#include "port/path.h"
#include "stack/link.h"
#include "stack/socket_state.h"
#include "steering/stack_id.h"
#include "tcp/state.h"
#include "udp/state.h"

namespace ringway::stack {

inline constexpr std::uint32_t kMaxLinks = ring::Mailbox::kMaxLinks;
inline constexpr std::uint32_t kMaxPorts = 4;  ///< ports of other drivers than link
/// Port numbers of a stack: links first, then the others. Regions: 0 is the private pool, 1 + port
/// number the rest.
inline constexpr std::uint32_t kFirstPort = kMaxLinks;
inline constexpr std::uint32_t kAllPorts = kMaxLinks + kMaxPorts;
/// Interfaces of ip: all links together, then one per other port.
inline constexpr std::uint8_t kLinksInterface = 0;
inline constexpr std::uint8_t kFirstInterface = 1;
inline constexpr std::uint32_t kMaxPaths = 1U << 15;
inline constexpr std::uint32_t kPathBuckets = 1U << 12;
inline constexpr std::uint32_t kHotLinks = 8;
inline constexpr std::uint32_t kPrivateFrames = 1U << 16;  ///< 4 KiB each, sparse
inline constexpr std::uint32_t kPrivateFrameBytes = 4096;
inline constexpr std::uint32_t kMaxHolders = 63;
/// In place of a holder: copies of the socket are on their way to other processes.
inline constexpr std::uint64_t kPassing = std::uint64_t{1} << kMaxHolders;
inline constexpr std::uint32_t kPortBlocks = 64;  ///< leases of ephemeral ports

/// Why a stack dropped a frame or took note of something.
enum class Count : std::uint32_t {
  kTurns,
  kRxFrames,
  kRxBytes,
  kDropParse,        ///< not a packet that we understand
  kDropNotForUs,     ///< destination address or MAC of somebody else
  kDropForeignFlow,  ///< a link claimed a flow that does not belong to it
  kDropNoPath,       ///< no way back to the sender
  kDropNoMemory,     ///< no cell, frame or connection was left
  kDropProtocol,     ///< IP protocol that nobody here speaks
  kDropChain,        ///< packet of several frames from a port that may not make them
  kRstSent,          ///< segments for no connection
  kLinksUp,
  kLinksDown,
  kBells,  ///< doorbells rung
  kPoisoned,
  kCount
};

/// A process that holds this arena.
struct Holder {
  std::uint32_t pid;
  std::uint32_t used;
};

/// A leased range of ephemeral ports.
struct PortBlock {
  std::uint16_t first;
  std::uint16_t count;
};

/// Ephemeral ports of one protocol.
struct PortBlocks {
  std::uint32_t blocks;
  std::uint32_t at;      ///< block in use
  std::uint32_t offset;  ///< next port within it
  std::array<PortBlock, kPortBlocks> block;
};

/// Paths by address pair and port: buckets of chains.
struct PathTable {
  mem::Slab<port::Path, kMaxPaths> slab;
  std::array<std::uint16_t, kPathBuckets> heads;
  std::array<std::uint16_t, kMaxPaths> next;
};

/// All of a stack: what its arena holds. Plain data; all zero is an empty stack without addresses.
///
/// Order: what every turn touches first, then the slabs, then the private frames. Pages are touched
/// as they are used.
struct StackState {
  mem::ArenaHeader header;

  steering::StackId id;
  std::uint16_t hot_count;                        ///< links polled every turn
  std::array<std::uint16_t, kHotLinks> hot;       ///< their numbers
  std::uint32_t event_epoch;                      ///< changes with every event of a socket
  std::uint32_t busy;                             ///< 1: something waits for room in a port
  std::int64_t sleep_until_ns;                    ///< deadline that the sleeping attendant knows
  std::uint32_t changing;                         ///< 1: the lock's holder may be changing things
  std::uint64_t attendant;                        ///< who sleeps for all; runtime::Attendance
  std::uint64_t last_turn_ns;                     ///< time of the last turn
  std::uint64_t link_turns;                       ///< for the ages of hot links
  std::array<std::uint64_t, kHotLinks> hot_used;  ///< link_turns when something last came
  std::uint32_t link_high;                        ///< link numbers ever used: [0, link_high)
  std::uint32_t links_generation;                 ///< changes with every link made or taken down
  base::IpAddress address_v4;                     ///< of the host
  base::IpAddress address_v6;
  base::MacAddress mac;
  std::array<char, 32> program;
  base::Random random;
  base::Counters<Count> counters;
  std::array<Holder, kMaxHolders> holders;
  std::uint32_t strangers;              ///< holders that came otherwise than by fork, ever
  std::array<PortBlocks, 2> ephemeral;  ///< by steering::Protocol

  SocketTables sockets;
  tcp::TcpState tcp;
  udp::UdpState udp;
  ip::State ip;
  PathTable paths;
  mem::FramePoolState frame_pool;
  mem::CellSlab cells;
  std::array<LinkState, kMaxLinks> links;
  alignas(4096) std::array<std::byte, std::size_t{kPrivateFrames} * kPrivateFrameBytes> frames;
};

static_assert(std::is_trivially_copyable_v<StackState> && std::is_standard_layout_v<StackState>);

/// Names this layout: two builds that differ refuse each other's arenas.
std::uint64_t layout_hash();

}  // namespace ringway::stack
