#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstdint>
#include <span>

#include "base/address.h"
#include "base/time.h"
#include "socket/sets.h"
#include "stack/stack.h"

namespace ringway::socket {

/// The sockets of one stack, by index: what the front ends are written on.
///
/// Non-blocking throughout; every call returns >= 0 or -errno with Linux's meaning. The caller
/// holds the stack's lock, has looked an index up with find(), and after a series of calls lets the
/// stack flush.
class Sockets {
 public:
  explicit Sockets(stack::Stack& stack)
      : stack_(stack), t_(stack.state().sockets), sets_(stack.state().sockets) {}

  Sets& sets() { return sets_; }

  // --- life (sockets.cpp) ----------------------------------------------------------------------
  /// type SOCK_STREAM or SOCK_DGRAM; `holder` is the bit of the calling process. 0: the table is
  /// full.
  std::uint32_t create(int domain, int type, std::uint64_t holder);
  /// The socket, if index and generation name one.
  stack::Socket* find(std::uint32_t index, std::uint32_t generation) {
    if (!t_.sockets.valid(index)) return nullptr;
    stack::Socket& s = t_.sockets[index];
    return s.generation == generation && s.kind != stack::SocketKind::kFree ? &s : nullptr;
  }
  stack::Socket& at(std::uint32_t index) { return t_.sockets[index]; }
  /// `local.port` is leased already.
  int bind(std::uint32_t index, const base::Endpoint& local);
  int listen(std::uint32_t index, int backlog);
  /// Starts a connection along `path`; -EINPROGRESS, or what is the matter.
  int connect(std::uint32_t index, const base::Endpoint& local, const base::Endpoint& remote,
              std::uint32_t path, base::Instant now);
  /// What connect() answers for a socket that is connecting or connected: 0, -EALREADY, -EISCONN,
  /// -errno.
  int connect_again(std::uint32_t index, base::Instant now);
  /// Fixes the peer of a datagram socket that is bound.
  int connect_datagram(std::uint32_t index, const base::IpAddress& local,
                       const base::Endpoint& remote, std::uint32_t path);
  void disconnect_datagram(std::uint32_t index);
  /// A new socket's index, or -errno.
  int accept(std::uint32_t index, std::uint64_t holder, base::Endpoint* peer);
  /// One holder less; the last one closes. True if the socket is gone.
  bool release(std::uint32_t index, std::uint64_t holder, base::Instant now);

  // --- data (data.cpp) -------------------------------------------------------------------------
  ssize_t send(std::uint32_t index, std::span<const iovec> from, int flags, base::Instant now);
  ssize_t receive(std::uint32_t index, std::span<const iovec> to, int flags, base::Instant now);
  /// One datagram to `remote` along `path`.
  ssize_t send_datagram(std::uint32_t index, std::span<const iovec> from,
                        const base::Endpoint& remote, std::uint32_t path);
  /// One datagram; `out_flags` gets MSG_TRUNC if it did not fit.
  ssize_t receive_datagram(std::uint32_t index, std::span<const iovec> to, int flags,
                           base::Endpoint* from, int* out_flags);
  int shutdown(std::uint32_t index, int how, base::Instant now);
  int queued_in(std::uint32_t index);
  int queued_out(std::uint32_t index);
  std::uint32_t readiness(std::uint32_t index);
  int local(std::uint32_t index, base::Endpoint* out);
  int peer(std::uint32_t index, base::Endpoint* out);

  // --- options (options.cpp) -------------------------------------------------------------------
  int set_option(std::uint32_t index, int level, int name, const void* value, socklen_t length,
                 base::Instant now);
  int get_option(std::uint32_t index, int level, int name, void* value, socklen_t* length);

  /// Passes news of the protocols on to sets; returns the waiters to wake (bit per stack::Waiter).
  std::uint64_t drain_events() { return stack_.has_events() ? drain_all_events() : 0; }

 private:
  std::uint64_t drain_all_events();
  int set_socket_option(stack::Socket& s, int name, int value, const void* raw, socklen_t length);
  int set_tcp_option(stack::Socket& s, int name, int value, const void* raw, socklen_t length);
  int get_socket_option(stack::Socket& s, int name, void* value, socklen_t* length);
  int get_tcp_option(stack::Socket& s, int name, void* value, socklen_t* length);
  tcp::Options& options_of(stack::Socket& s);
  void apply_options(stack::Socket& s, base::Instant now);

  stack::Stack& stack_;
  stack::SocketTables& t_;
  Sets sets_;
};

}  // namespace ringway::socket
