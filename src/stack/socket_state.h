#pragma once

#include <array>
#include <cstdint>

#include "base/address.h"
#include "mem/slab.h"
#include "tcp/options.h"

namespace ringway::stack {

inline constexpr std::uint32_t kMaxSockets = (1U << 16) + (1U << 12);
inline constexpr std::uint32_t kMaxSets = 1U << 12;
inline constexpr std::uint32_t kMaxItems = 1U << 17;
inline constexpr std::uint32_t kMaxWaiters = 64;

enum class SocketKind : std::uint8_t {
  kFree,
  kStream,    ///< TCP, neither connected nor listening yet
  kTcp,       ///< `object` is a tcp connection
  kListener,  ///< `object` is a tcp listener
  kUdp,       ///< `object` is a udp socket
};

/// One socket, whatever its kind. Two cache lines; the first is what every call touches.
struct alignas(64) Socket {
  std::uint32_t slab_link;   ///< overwritten while free
  std::uint32_t generation;  ///< survives reuse, so that an old handle is found out
  std::uint32_t object;
  std::uint32_t items;  ///< first EpollItem
  SocketKind kind;
  std::uint8_t domain;       ///< AF_INET or AF_INET6
  std::uint8_t bound;        ///< `local` was asked for by bind
  std::uint8_t leased;       ///< the port is leased from the daemon
  std::uint16_t error;       ///< pending, for SO_ERROR
  std::uint16_t connecting;  ///< connect() has not told its outcome yet
  std::uint64_t holders;     ///< bit per Holder that has it
  std::uint64_t waiters;     ///< bit per Waiter that sleeps for it
  base::Endpoint local;
  alignas(64) base::Endpoint remote;
  tcp::Options options;  ///< until there is a connection or listener to take them
  std::uint8_t reuse_address;
  std::uint8_t reuse_port;
  std::uint8_t v6_only;
  std::uint8_t connected;         ///< a datagram socket with a peer
  std::uint8_t listening_active;  ///< the daemon knows that somebody accepts here
  std::uint8_t passing;           ///< copies on their way to other processes
  std::uint8_t traffic_class;     ///< IP_TOS, IPV6_TCLASS: kept, told back, not sent
  std::uint8_t posted;            ///< a listener's: messages with connections that others left
  // A datagram socket's last way: valid for this remote while the steering table is of this
  // generation.
  std::uint32_t path;
  base::Endpoint path_remote;
  std::uint64_t path_generation;
  base::IpAddress bound_address;  ///< as bind() got it: the key of the lease, whatever connect()
                                  ///< makes of `local`
};
static_assert(sizeof(Socket) == 192);

/// A socket's membership in a set. Hangs on the socket; queued in the set while it may be ready.
struct EpollItem {
  std::uint32_t slab_link;
  std::uint32_t socket;
  std::uint32_t set;
  std::uint32_t next_of_socket;
  std::uint32_t next_ready;
  std::int32_t tag;
  std::uint32_t events;  ///< asked for, with EPOLLET, EPOLLONESHOT
  std::uint8_t queued;
  std::uint8_t dead;  ///< deleted while queued: freed when it is reached
  std::uint16_t reserved;
  std::uint64_t data;
};
static_assert(sizeof(EpollItem) == 40);

/// An interest list within one arena.
struct EpollSet {
  std::uint32_t slab_link;
  std::uint32_t ready_head;
  std::uint32_t ready_tail;
  std::uint32_t ready_count;
  std::uint32_t items;
  std::uint32_t reserved;
  std::uint64_t holders;  ///< bit per Holder; 0: free
  std::uint64_t waiters;
};

/// A thread that sleeps for something of this arena. Its event fd lives in its own process; from
/// another process it is woken by the stack's doorbell, which all holders share.
struct Waiter {
  std::uint32_t pid;  ///< 0: free
  std::int32_t event_fd;
};

/// Sockets and epoll sets of a stack.
struct SocketTables {
  mem::Slab<Socket, kMaxSockets> sockets;
  mem::Slab<EpollSet, kMaxSets> sets;
  mem::Slab<EpollItem, kMaxItems> items;
  std::array<Waiter, kMaxWaiters> waiters;
  std::uint64_t waiters_in_use;
};

}  // namespace ringway::stack
