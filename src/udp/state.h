#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/address.h"
#include "mem/byte_queue.h"
#include "mem/slab.h"
#include "udp/counters.h"

namespace ringway::udp {

constexpr std::uint32_t kMaxSockets = 1U << 15;
constexpr std::uint32_t kMaxMemberships = 1U << 12;
constexpr std::uint32_t kMaxPayload = 65'535 - 8;  ///< less the IP header for IPv4

/// What a user may set. Plain data.
struct Options {
  static constexpr std::uint32_t kDefaultBuffer = 212'992;  // as Linux has it
  static constexpr std::uint32_t kMinBuffer = 2048;
  static constexpr std::uint32_t kMaxBuffer = 64 * 1024 * 1024;

  std::uint32_t receive_buffer_bytes = kDefaultBuffer;
  std::uint32_t send_buffer_bytes = kDefaultBuffer;
  bool reuse_address = false;
  bool reuse_port = false;
  bool v6_only = false;
  bool broadcast = false;       ///< may send to a broadcast address
  bool dont_fragment = false;   ///< EMSGSIZE instead of fragments (IP_PMTUDISC_DO)
  bool receive_errors = false;  ///< ICMP errors also if not connected (IP_RECVERR)
};

/// A queued datagram: this at the start of its cell's data, then the payload if it fits there.
///
///   | Cell: next, ... | Datagram | payload (up to kInlinePayload) |
///                         |
///                         +-> payload.head: cells of a longer one
struct Datagram {
  base::Endpoint remote;
  base::IpAddress local;
  std::uint32_t path;  ///< of one that waits to be sent
  std::uint32_t length;
  mem::ByteQueue payload;  ///< empty if the bytes are behind this
};
constexpr std::uint32_t kInlinePayload = mem::Cell::kInlineBytes - sizeof(Datagram);

/// Datagrams in order, linked by Cell::next. All zero is empty.
struct DatagramQueue {
  std::uint32_t head;
  std::uint32_t tail;
  std::uint32_t charge;  ///< bytes counted against the socket's buffer: payload and cells
};

/// Flags of a UdpSocket.
enum SocketFlag : std::uint16_t {
  kBound = 1 << 0,
  kConnected = 1 << 1,
  kReadShut = 1 << 2,
  kWriteShut = 1 << 3,
  kInDirtyList = 1 << 4,
  kInEventList = 1 << 5,
  kClosed = 1 << 7,     ///< by the user; lives until what waits has left
  kWantsRoom = 1 << 6,  ///< a send found the buffer full: tell when there is room
};

/// One socket. Plain data in the arena.
struct alignas(64) UdpSocket {
  std::uint32_t slab_link;  ///< overwritten while free
  std::uint32_t socket;     ///< the front end's
  std::uint32_t port_next;  ///< next one of the same bucket
  std::uint32_t path;       ///< if connected
  std::uint32_t dirty_next;
  std::uint32_t event_next;
  std::uint32_t events;
  std::uint16_t flags;
  std::uint16_t error;  ///< pending, for SO_ERROR
  DatagramQueue in;
  DatagramQueue out;
  base::Endpoint local;
  base::Endpoint remote;
  std::uint32_t memberships;  ///< first Membership
  std::uint32_t drops;        ///< datagrams that this socket had no room for
  Options options;
};

/// A multicast group that a socket has joined. Joining the interface itself is the stack's part.
struct Membership {
  std::uint32_t next;
  std::uint32_t interface;
  base::IpAddress group;
};

struct IndexList {
  std::uint32_t head;
  std::uint32_t tail;
  bool empty() const { return head == 0; }
};

/// All state of UDP of one stack: plain data in its arena; all zero is valid and empty.
struct UdpState {
  static constexpr std::uint32_t kBuckets = 4096;

  IndexList dirty;   ///< sockets with datagrams that wait to be sent
  IndexList events;  ///< sockets with news
  Counters counters;
  std::array<std::uint32_t, kBuckets> by_port;
  mem::Slab<Membership, kMaxMemberships> memberships;
  mem::Slab<UdpSocket, kMaxSockets> sockets;
};
static_assert(std::is_trivially_copyable_v<UdpState> && std::is_standard_layout_v<UdpState>);
static_assert(std::is_trivially_copyable_v<Datagram> && sizeof(Datagram) % 4 == 0);

}  // namespace ringway::udp
