#include "posix/stack_socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

#include "base/sys.h"
#include "posix/context.h"
#include "posix/epoll.h"
#include "posix/next.h"
#include "posix/signals.h"
#include "posix/sockaddr.h"

namespace ringway::posix {
namespace {

namespace sys = base::sys;
using runtime::Runtime;

constexpr int kTypeFlags = SOCK_NONBLOCK | SOCK_CLOEXEC;

/// Puts a socket of the stack behind a new fd. Takes over the reference that `id` is.
int install(const runtime::SocketId& id, int domain, int type, int flags) {
  const std::uint32_t index = fds.new_socket(id, domain, type);
  if (index == 0) {
    network()->release(id);
    return -ENFILE;
  }
  const FdEntry entry{FdKind::kSocket, index};
  if ((flags & SOCK_NONBLOCK) != 0) fds.socket_at(index).set(Description::kNonBlocking);
  const int fd = new_placeholder((flags & SOCK_CLOEXEC) != 0);
  if (fd >= 0 && fds.put(fd, entry)) return fd;
  if (fd >= 0) sys::close(fd);
  let_go(entry);
  return fd < 0 ? fd : -EMFILE;
}

}  // namespace

bool is_stack_type(int domain, int type, int protocol) {
  if (domain != AF_INET && domain != AF_INET6) return false;
  switch (type & ~kTypeFlags) {
    case SOCK_STREAM:
      return protocol == 0 || protocol == IPPROTO_TCP;
    case SOCK_DGRAM:
      return protocol == 0 || protocol == IPPROTO_UDP;
    default:
      return false;
  }
}

int open_socket(int domain, int type, int protocol) {
  const int plain = type & ~kTypeFlags;
  Runtime* joined = policy().may_take(plain) ? join() : nullptr;
  if (joined == nullptr) {
    if (policy().may_take(plain) && !falls_back_to_kernel()) return -ENETDOWN;
    const int fd = libc::socket(domain, type, protocol);
    return fd < 0 ? -errno : fd;
  }
  runtime::SocketId id;
  const int failure = joined->socket(domain, plain, protocol, &id);
  if (failure < 0) return failure;
  return install(id, domain, plain, type & kTypeFlags);
}

int bind_socket(int fd, Description& d, const sockaddr* address, socklen_t length) {
  base::Endpoint local;
  const int wrong = read_address(d.domain, address, length, &local);
  if (wrong < 0) return wrong;
  int failure = Runtime::kNotOurs;
  if (policy().takes(d.type, local)) failure = network()->bind(d.id(), local);
  // An address that the network does not have may well be one of the machine.
  if (failure == Runtime::kNotOurs || failure == -EADDRNOTAVAIL) {
    const int demoted = demote(fd, d);
    if (demoted < 0) return demoted;
    return libc::bind(fd, address, length) < 0 ? -errno : 0;
  }
  if (failure == 0) d.set(Description::kBound);
  return failure;
}

int listen_socket(int fd, Description& d, int backlog) {
  if (!d.is_stream()) return -EOPNOTSUPP;
  base::Endpoint any{d.domain == AF_INET ? base::IpAddress::any_v4() : base::IpAddress::any_v6(),
                     0};
  if (!d.has(Description::kBound) && !policy().takes(d.type, any)) {
    const int demoted = demote(fd, d);
    if (demoted < 0) return demoted;
    return libc::listen(fd, backlog) < 0 ? -errno : 0;
  }
  const int failure = network()->listen(d.id(), backlog);
  if (failure == 0) d.set(Description::kActive);
  return failure;
}

namespace {

/// Waits for the outcome of a connection attempt that is under way.
int wait_for_outcome(Description& d) {
  const int woken = sleep_for(d, EPOLLOUT, d.send_timeout_ns.load(std::memory_order_relaxed));
  if (woken == -EAGAIN) return -EINPROGRESS;
  if (woken < 0) return woken;
  int error = 0;
  socklen_t length = sizeof error;
  const int failure = network()->get_option(d.id(), SOL_SOCKET, SO_ERROR, &error, &length);
  return failure < 0 ? failure : -error;
}

/// Whom an attempt was under way to may end while others accept at the same address: as long as
/// ports have changed hands since `routes`, these are tried.
int finish_connect(Description& d, const base::Endpoint& remote, std::uint64_t routes) {
  const Pin pin(d);
  Runtime& runtime = *network();
  for (;;) {
    const int outcome = wait_for_outcome(d);
    const bool lost = outcome == -ECONNREFUSED || outcome == -ECONNRESET;
    const std::uint64_t now = runtime.routes_generation();
    if (!lost || now == routes) return outcome;
    routes = now;
    runtime.connect(d.id(), remote);  // tells the failure once more, and makes room for another try
    const int begun = runtime.connect(d.id(), remote);
    if (begun == Runtime::kNotOurs) return outcome;
    if (begun != -EINPROGRESS) return begun;
  }
}

/// connect() with AF_UNSPEC takes a datagram socket's peer away.
int disconnect(Description& d) {
  if (d.is_stream()) return -EAFNOSUPPORT;
  base::Endpoint none{d.domain == AF_INET ? base::IpAddress::any_v4() : base::IpAddress::any_v6(),
                      0};
  return network()->connect(d.id(), none);
}

}  // namespace

int connect_socket(int fd, Description& d, const sockaddr* address, socklen_t length) {
  if (address != nullptr && length >= sizeof(sa_family_t) && address->sa_family == AF_UNSPEC) {
    return disconnect(d);
  }
  base::Endpoint remote;
  const int wrong = read_address(d.domain, address, length, &remote);
  if (wrong < 0) return wrong;
  int outcome = Runtime::kNotOurs;
  const std::uint64_t routes = network()->routes_generation();
  if (policy().takes(d.type, remote)) outcome = network()->connect(d.id(), remote);
  if (outcome == Runtime::kNotOurs) {
    if (d.has(Description::kActive)) return -ENETUNREACH;
    const int demoted = demote(fd, d);
    if (demoted < 0) return demoted;
    return libc::connect(fd, address, length) < 0 ? -errno : 0;
  }
  if (outcome == 0 || outcome == -EINPROGRESS) d.set(Description::kActive);
  const bool waits = outcome == -EINPROGRESS || outcome == -EALREADY;
  if (waits && !d.has(Description::kNonBlocking)) outcome = finish_connect(d, remote, routes);
  if (outcome != 0 || !d.is_stream()) return outcome;
  // Success is told once (connect(2)): by this call, or by the first one after a non-blocking one.
  if (d.has(Description::kConnected)) return -EISCONN;
  d.set(Description::kConnected);
  return 0;
}

namespace {

int accept_slowly(Description& d, runtime::SocketId* id, base::Endpoint* peer) {
  const Pin pin(d);
  while (true) {
    const int woken = sleep_for(d, EPOLLIN, d.receive_timeout_ns.load(std::memory_order_relaxed));
    if (woken < 0) return woken;
    const int outcome = network()->accept(d.id(), id, peer);
    if (outcome != -EAGAIN) return outcome;
  }
}

}  // namespace

int accept_socket(Description& d, sockaddr* address, socklen_t* length, int flags) {
  if ((flags & ~kTypeFlags) != 0) return -EINVAL;
  if (!d.is_stream()) return -EOPNOTSUPP;
  runtime::SocketId id;
  base::Endpoint peer;
  int outcome = network()->accept(d.id(), &id, &peer);
  if (outcome == -EAGAIN && !d.has(Description::kNonBlocking)) {
    outcome = accept_slowly(d, &id, &peer);
  }
  if (outcome < 0) return outcome;
  const int domain = d.domain.load(std::memory_order_relaxed);
  // Deviation: Linux reserves the fd first and leaves the connection queued on EMFILE; here it is
  // closed. Reserving would cost two system calls for every EAGAIN.
  const int fd = install(id, domain, SOCK_STREAM, flags);
  if (fd < 0) return fd;
  fds.socket(fd)->set(Description::kActive);
  write_address(domain, peer, address, length);
  return fd;
}

int shutdown_socket(Description& d, int how) {
  if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return -EINVAL;
  return network()->shutdown(d.id(), how);
}

int local_name(Description& d, sockaddr* address, socklen_t* length) {
  base::Endpoint local;
  const int failure = network()->local_endpoint(d.id(), &local);
  if (failure < 0) return failure;
  write_address(d.domain, local, address, length);
  return 0;
}

int peer_name(Description& d, sockaddr* address, socklen_t* length) {
  base::Endpoint peer;
  const int failure = network()->peer_endpoint(d.id(), &peer);
  if (failure < 0) return failure;
  write_address(d.domain, peer, address, length);
  return 0;
}

int sleep_for(Description& d, std::uint32_t events, std::int64_t timeout_ns) {
  Runtime& runtime = *network();
  const base::Instant deadline = timeout_ns == 0
                                     ? base::Instant::never()
                                     : runtime.now() + base::Duration::nanoseconds(timeout_ns);
  runtime::WaitItem item{d.id(), events, 0};
  int outcome = 0;
  do {
    watch_signals();
    outcome = runtime.wait({&item, 1}, {}, deadline, nullptr);
    // signal(7): with a socket timeout, calls are never restarted.
  } while (outcome == -EINTR && timeout_ns == 0 && !interrupted());
  if (outcome < 0) return outcome;
  return outcome == 0 ? -EAGAIN : 0;
}

Pin::~Pin() { let_go(entry_); }

void let_go(FdEntry entry) {
  if (entry.kind == FdKind::kOther || !fds.drop(entry)) return;
  const KeepErrno keep;
  if (entry.kind == FdKind::kSocket) {
    Description& d = fds.socket_at(entry.index);
    if (d.has(Description::kInEpoll)) forget_interests(d);
    network()->release(d.id());
  } else {
    close_epoll(fds.epoll_at(entry.index));
  }
  fds.recycle(entry);
}

}  // namespace ringway::posix
