#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "base/address.h"
#include "base/bytes.h"
#include "base/time.h"
#include "tcp/context.h"
#include "tcp/segment.h"
#include "tcp/state.h"

namespace ringway::tcp {

/// What `ss` and TCP_INFO show.
struct Info {
  State state = State::kClosed;
  base::Endpoint local;
  base::Endpoint remote;
  std::uint32_t rtt_us = 0;
  std::uint32_t rttvar_us = 0;
  std::uint32_t rto_us = 0;
  std::uint32_t cwnd_bytes = 0;
  std::uint32_t ssthresh_bytes = 0;
  std::uint32_t mss = 0;
  std::uint32_t send_queue_bytes = 0;     ///< not yet acknowledged or sent
  std::uint32_t receive_queue_bytes = 0;  ///< not yet read
  std::uint32_t send_window_bytes = 0;
  std::uint32_t receive_window_bytes = 0;
  std::uint32_t retransmits = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;
  bool reliable = false;
  bool timestamps = false;
  bool sack = false;
};

/// The TCP of one stack, seen from one process: all state is in `state`, this holds pointers only.
/// Nothing blocks, allocates or reads a clock; the stack's lock guards it. `now` must not go back.
class Tcp {
 public:
  Tcp() = default;
  Tcp(TcpState& state, const mem::Buffers& buffers, const PathSource& paths)
      : t_{&state, buffers, paths} {}

  // --- opening (connect.cpp, accept.cpp) ---

  /// Starts an active open along `path`; the SYN leaves with the next output().
  /// Errors: EADDRINUSE (this pair of endpoints is in use), ENOBUFS, ENETUNREACH (path is down).
  Opened connect(const base::Endpoint& local, const base::Endpoint& remote, std::uint32_t path,
                 std::uint32_t socket, const Options& options, base::Instant now);
  /// `local` may have the any address; any_v6 also takes IPv4 unless `v6_only`.
  /// Several may listen on one address if all of them say `reuse_port`: SYNs go to the shortest
  /// queue. Errors: EADDRINUSE, ENOBUFS.
  Opened listen(const base::Endpoint& local, std::uint32_t backlog, std::uint32_t socket,
                const Options& options, bool v6_only = false, bool reuse_port = false);
  void set_backlog(std::uint32_t listener, std::uint32_t backlog);
  /// The oldest established connection of `listener`, which is the caller's from now on; 0: none.
  /// Give it its socket with set_socket().
  std::uint32_t accept(std::uint32_t listener);
  /// Resets what was not accepted (RFC 9293, 3.10.4).
  void close_listener(std::uint32_t listener, base::Instant now);
  std::uint32_t listener_readiness(std::uint32_t listener) const;
  /// Tells whoever waits for `listener` to look.
  void tell_listener(std::uint32_t listener);
  /// Connections to `listener` whose handshakes are under way.
  std::uint32_t handshaking(std::uint32_t listener) const;

  // --- data (send.cpp, receive.cpp) ---

  /// Sends or queues bytes, as many as there is room for; when it takes less than was given, an
  /// EPOLLOUT event will tell when there is room again. `more`: more follows soon (MSG_MORE).
  /// Errors: EAGAIN (no room, or not established yet), EPIPE, ENOTCONN, what killed the connection.
  Io send(std::uint32_t connection, std::span<const iovec> from, bool more, base::Instant now);
  /// Takes received bytes. 0 bytes and no error: the end of the stream (or nothing was asked for).
  /// Errors: EAGAIN (nothing there yet), ENOTCONN, what killed the connection.
  Io recv(std::uint32_t connection, std::span<const iovec> to, bool peek, base::Instant now);
  /// The next received piece without a copy: valid until return_loan(). Length 0: nothing there.
  struct Loan {
    const std::byte* data = nullptr;
    std::uint32_t length = 0;
    std::uint32_t cell = 0;
  };
  Loan recv_loan(std::uint32_t connection, base::Instant now);
  void return_loan(const Loan& loan);
  std::uint32_t readable_bytes(std::uint32_t connection) const;
  std::uint32_t unsent_bytes(std::uint32_t connection) const;

  // --- closing (close.cpp) ---

  void shutdown_write(std::uint32_t connection, base::Instant now);
  void shutdown_read(std::uint32_t connection);
  /// The user is done: FIN, or RST if unread data is lost (RFC 2525, 2.17) or linger is 0 s. The
  /// index is no longer the caller's.
  void close(std::uint32_t connection, base::Instant now);
  /// RST at once. The index is no longer the caller's.
  void abort(std::uint32_t connection, base::Instant now);
  /// RST for every connection, and the end of every listener.
  void abort_all(base::Instant now);

  // --- looking and setting (info.cpp) ---

  /// EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR as they are now. Without EPOLLOUT, an event
  /// will tell when it becomes true.
  std::uint32_t readiness(std::uint32_t connection);
  /// SO_ERROR: errno, cleared by reading.
  int error(std::uint32_t connection);
  void set_options(std::uint32_t connection, const Options& options, base::Instant now);
  const Options& options(std::uint32_t connection) const { return conn(connection).options; }
  void set_socket(std::uint32_t connection, std::uint32_t socket);
  State state(std::uint32_t connection) const { return conn(connection).state; }
  base::Endpoint local(std::uint32_t connection) const;
  base::Endpoint remote(std::uint32_t connection) const;
  Info info(std::uint32_t connection) const;

  // --- input (input.h, receive.cpp) ---

  std::uint32_t find(const base::Endpoint& local, const base::Endpoint& remote) const;
  /// The same for a plain IPv4 segment as it lies: two addresses, source first, and the first four
  /// bytes of its header. Most often it is of the same connection as the one before: nothing is
  /// hashed then.
  std::uint32_t find_plain(const std::byte* addresses, const std::byte* ports) {
    if (last_found_ != 0 && is_plain_flow(conn(last_found_), addresses, ports)) [[likely]]
      return last_found_;
    return look_up_plain(addresses, ports);
  }
  /// The listener for a SYN to `local`; 0: none.
  std::uint32_t find_listener(const base::Endpoint& local) const;
  /// A segment of `connection`. TIME-WAIT may take a new SYN: then the answer is true, and the
  /// caller looks for a listener as if nothing had been found (RFC 6191).
  bool input(std::uint32_t connection, Segment& segment, base::Instant now);
  /// A segment for a listener: a SYN opens a connection, anything else is answered or dropped.
  /// The path's addresses are the connection's.
  void on_syn(std::uint32_t listener, const Segment& segment, std::uint32_t path,
              base::Instant now);
  /// A segment that belongs to nobody: a reset, unless it is one itself (RFC 9293, 3.10.7.1).
  void reject(const Segment& segment, std::uint32_t path);

  // --- from below (icmp.cpp) ---

  /// ICMP "packet too big": `seq` is what the quoted TCP header says.
  void on_path_mtu(std::uint32_t connection, base::SeqNum seq, std::uint16_t mtu,
                   base::Instant now);
  /// ICMP unreachable. Hard errors end a handshake only (RFC 1122, 4.2.3.9; RFC 5461).
  void on_icmp_error(std::uint32_t connection, base::SeqNum seq, int error, base::Instant now);
  /// The peer behind `path` is gone (kPathDown) or cannot be resolved: all its connections end.
  void path_failed(std::uint32_t path, int error, base::Instant now);

  // --- the turn (output.cpp, timers.cpp) ---

  /// Sends what is due, as far as there is room. Once a turn, before the flush. What found no room
  /// is tried again once its port's TxBatch is no longer starved(): call take_room() before.
  void output(base::Instant now);
  /// Runs timers that are due.
  void on_timers(base::Instant now);
  base::Instant next_deadline() const { return t_.s->wheel.next_deadline(); }
  /// True while something waits for room in a port: look again soon.
  bool blocked() const { return !t_.s->blocked.empty(); }
  bool has_output() const { return !t_.s->dirty.empty(); }
  /// Takes the next event; false: none left.
  bool next_event(Event& event) {
    if (t_.s->events.empty() && t_.s->listener_events.empty()) return false;
    return take_event(event);
  }

  TcpState& state() { return *t_.s; }
  const Counters& counters() const { return t_.s->counters; }
  Connection& conn(std::uint32_t index) { return t_.s->connections[index]; }
  const Connection& conn(std::uint32_t index) const { return t_.s->connections[index]; }

 private:
  bool take_event(Event& event);
  /// A connection that was freed is kClosed, whatever else is left in it.
  static bool is_plain_flow(const Connection& c, const std::byte* addresses,
                            const std::byte* ports) {
    std::uint32_t remote;
    std::uint32_t local;
    std::memcpy(&remote, addresses, sizeof remote);
    std::memcpy(&local, addresses + 4, sizeof local);
    const bool differs = (c.remote_port != base::load_be16(ports)) |
                         (c.local_port != base::load_be16(ports + 2)) | (c.remote_tail != remote) |
                         (c.local_tail != local) | (c.is_v6 != 0) |
                         ((c.flags & kInFlowTable) == 0) | (c.state == State::kClosed);
    return !differs;
  }
  std::uint32_t look_up_plain(const std::byte* addresses, const std::byte* ports);

  Context t_;
  std::uint32_t last_found_ = 0;  ///< by find_plain(); may have been freed since
};

}  // namespace ringway::tcp
