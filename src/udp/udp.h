#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/address.h"
#include "mem/byte_queue.h"
#include "port/path.h"
#include "port/tx_batch.h"
#include "udp/state.h"

namespace ringway::udp {

/// Where paths and ports are in this process, and who cuts datagrams into fragments.
struct PathSource {
  /// Sends `l4` in fragments; false: no room now. nullptr: datagrams beyond the MTU are refused.
  using Fragment = bool (*)(void* context, port::Path& path, std::span<const std::byte> l4,
                            port::TxBatch& out);

  port::Path* paths = nullptr;         ///< by path index
  port::TxBatch* const* tx = nullptr;  ///< by Path::port; an entry may be nullptr
  Fragment fragment = nullptr;
  void* fragment_context = nullptr;
  std::span<std::byte> scratch;  ///< 64 KiB, for datagrams that are to be cut
};

/// A received datagram as the demultiplexer hands it over; the checksum is verified or needs none.
struct Arrival {
  const std::byte* data = nullptr;  ///< the UDP header
  std::uint32_t length = 0;         ///< header and payload
  std::uint32_t offset = 0;         ///< of `data` within the frame's slot
  mem::FrameRef frame;     ///< none: the bytes ride in a ring slot and are copied if they are kept
  bool must_copy = false;  ///< the receiver holds much of the peer's Region: copy, do not keep
  bool taken = false;      ///< out: the frame was kept, do not release it
  bool to_many = false;    ///< multicast or broadcast: a copy for every socket that matches
  base::IpAddress local;
  base::IpAddress remote;
};

enum class Outcome : std::uint8_t {
  kDelivered,
  kNoSocket,  ///< answer port unreachable, unless it went to many
  kDropped,
};

struct Io {
  std::uint32_t bytes = 0;
  std::int32_t error = 0;  ///< errno
};
struct Opened {
  std::uint32_t index = 0;  ///< 0: failed
  std::int32_t error = 0;
};

/// News of a socket for the front end.
struct Event {
  std::uint32_t index = 0;
  std::uint32_t socket = 0;
  std::uint32_t bits = 0;  ///< EPOLLIN, EPOLLOUT, EPOLLERR: what became true
};

/// What recv() tells besides the bytes.
struct Message {
  base::Endpoint remote;
  base::IpAddress local;     ///< that it was sent to (IP_PKTINFO)
  std::uint32_t length = 0;  ///< of the datagram; more than the bytes copied: truncated
};

/// The UDP of one stack, seen from one process: all state is in `state`. Nothing blocks or reads a
/// clock; the stack's lock guards it. Knows no ip: paths are given by index.
class Udp {
 public:
  Udp() = default;
  Udp(UdpState& state, const mem::Buffers& buffers, const PathSource& paths)
      : s_(&state), b_(buffers), paths_(paths) {}

  // --- opening and naming (bind.cpp) ---

  /// Errors: ENOBUFS.
  Opened open(std::uint32_t socket, const Options& options);
  /// `local.port` is not 0: ephemeral ports are the caller's to choose. any_v6 also takes IPv4
  /// unless v6_only. Returns 0 or an errno: EINVAL (bound already), EADDRINUSE.
  int bind(std::uint32_t index, const base::Endpoint& local);
  /// Fixes the peer and the local address. Returns 0 or an errno: EINVAL if not bound.
  int connect(std::uint32_t index, const base::IpAddress& local, const base::Endpoint& remote,
              std::uint32_t path);
  /// connect() to AF_UNSPEC. `local` is what bind() had asked for.
  void disconnect(std::uint32_t index, const base::IpAddress& local);
  /// A connected socket's path is out of date: this one from now on.
  void set_path(std::uint32_t index, std::uint32_t path);
  /// What waits to be sent still leaves. The index is no longer the caller's.
  void close(std::uint32_t index);
  void shutdown_read(std::uint32_t index);
  void shutdown_write(std::uint32_t index);
  /// Returns 0 or an errno: EADDRINUSE (joined already), EADDRNOTAVAIL (leave), ENOBUFS.
  int join(std::uint32_t index, const base::IpAddress& group, std::uint32_t interface);
  int leave(std::uint32_t index, const base::IpAddress& group, std::uint32_t interface);
  /// Takes one membership off the socket, for the stack to leave the group; before close().
  bool take_membership(std::uint32_t index, Membership& membership);

  // --- data (send.cpp, receive.cpp) ---

  /// Sends one datagram along the socket's own path to its peer. Errors: as send_to(),
  /// EDESTADDRREQ.
  Io send(std::uint32_t index, std::span<const iovec> from);
  /// Sends one datagram to `remote` along `path`. What cannot leave now (neighbour not resolved, no
  /// room) waits in the send buffer. Errors: EAGAIN (the send buffer is full), EMSGSIZE, EACCES (a
  /// broadcast without leave), EPIPE, ENETUNREACH (path is down), EINVAL (not bound), ENOBUFS, or a
  /// pending one.
  Io send_to(std::uint32_t index, std::span<const iovec> from, const base::Endpoint& remote,
             std::uint32_t path);
  /// Takes one datagram; what does not fit into `to` is lost unless `peek`. Errors: EAGAIN (nothing
  /// there), or a pending one. 0 bytes without error and message.length 0: an empty datagram, or
  /// the end after shutdown_read().
  Io recv(std::uint32_t index, std::span<const iovec> to, bool peek, Message& message);
  /// Bytes of the next datagram (FIONREAD).
  std::uint32_t readable_bytes(std::uint32_t index) const;

  // --- looking and setting ---

  /// EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR as they are now. Without EPOLLOUT, an event
  /// will tell when it becomes true.
  std::uint32_t readiness(std::uint32_t index);
  /// SO_ERROR: errno, cleared by reading.
  int error(std::uint32_t index);
  Options& options(std::uint32_t index) { return s_->sockets[index].options; }
  void set_socket(std::uint32_t index, std::uint32_t socket) { at(index).socket = socket; }
  const UdpSocket& socket(std::uint32_t index) const { return s_->sockets[index]; }
  const Counters& counters() const { return s_->counters; }

  // --- from below (receive.cpp, errors.cpp) ---

  Outcome input(Arrival& arrival);
  /// The socket that a datagram from `remote` to `local` is for; 0: none.
  std::uint32_t find(const base::Endpoint& local, const base::Endpoint& remote) const;
  /// An ICMP error about a datagram that we sent. Connected sockets hear of it, others only with
  /// receive_errors (RFC 1122, 4.1.3.3).
  void on_icmp_error(const base::Endpoint& local, const base::Endpoint& remote, int error);
  /// Nothing can be sent along `path`: what waits for it is dropped; its sockets get `error`.
  void path_failed(std::uint32_t path, int error);

  // --- the turn (send.cpp) ---

  /// Sends what waits, as far as there is room. Once a turn, before the flush.
  void output();
  bool has_output() const { return !s_->dirty.empty(); }
  /// Takes the next event; false: none left.
  bool next_event(Event& event);

 private:
  enum class Sent : std::uint8_t { kYes, kNoRoom, kTooLong, kDown };
  struct Outgoing;

  UdpSocket& at(std::uint32_t index) const { return s_->sockets[index]; }
  void count(Counter c, std::uint64_t n = 1) const { s_->counters.add(c, n); }

  // queue.cpp
  static std::uint32_t charge_of(std::uint32_t length) {
    return static_cast<std::uint32_t>(sizeof(mem::Cell)) + (length > kInlinePayload ? length : 0U);
  }
  Datagram& datagram(std::uint32_t cell) const;
  std::byte* inline_payload(std::uint32_t cell) const;
  std::uint32_t make_datagram(const Datagram& header) const;
  void push(DatagramQueue& queue, std::uint32_t cell) const;
  void pop(DatagramQueue& queue) const;
  void clear(DatagramQueue& queue) const;
  void raise(std::uint32_t index, std::uint32_t bits) const;
  void mark_dirty(std::uint32_t index) const;
  void remove_from(IndexList& list, std::uint32_t UdpSocket::*next, std::uint32_t index) const;

  // bind.cpp
  std::uint32_t first_of_port(std::uint16_t port) const;
  static bool matches(const UdpSocket& socket, const base::Endpoint& local,
                      const base::Endpoint& remote);
  void hold_path(std::uint32_t path) const;
  void drop_path(std::uint32_t path) const;
  void unlink(std::uint32_t index);
  void free_socket(std::uint32_t index);
  bool conflicts(const UdpSocket& socket, const base::Endpoint& local) const;

  // receive.cpp
  Outcome deliver(std::uint32_t index, Arrival& arrival, const base::Endpoint& remote);
  Outcome deliver_to_many(Arrival& arrival, const base::Endpoint& local,
                          const base::Endpoint& remote);
  bool fill(std::uint32_t cell, Arrival& arrival) const;
  void copy_out(std::uint32_t cell, std::uint32_t from, std::span<std::byte> out) const;

  // send.cpp
  int check_send(UdpSocket& s, std::uint64_t length, const base::Endpoint& remote,
                 std::uint32_t path) const;
  Sent transmit(const Outgoing& outgoing);
  Sent transmit_whole(const Outgoing& outgoing, port::Path& path, port::TxBatch& out);
  Sent transmit_cut(const Outgoing& outgoing, port::Path& path, port::TxBatch& out);
  int enqueue(std::uint32_t index, const Outgoing& outgoing);
  bool append_all(Datagram& datagram, std::span<const iovec> from) const;
  bool flush_socket(std::uint32_t index);
  void tell_room(std::uint32_t index) const;
  void move_front(DatagramQueue& from, DatagramQueue& to) const;

  UdpState* s_ = nullptr;
  mem::Buffers b_;
  PathSource paths_;
};

}  // namespace ringway::udp
