#include "socket/sockets.h"

#include <netinet/in.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

namespace ringway::socket {

using stack::Socket;
using stack::SocketKind;

std::uint32_t Sockets::create(int domain, int type, std::uint64_t holder) {
  const std::uint32_t index = t_.sockets.allocate_raw();
  if (index == 0) return 0;
  Socket& s = t_.sockets[index];
  const std::uint32_t generation = s.generation + 1;
  s = Socket{};
  s.generation = generation != 0 ? generation : 1;
  s.kind = type == SOCK_STREAM ? SocketKind::kStream : SocketKind::kUdp;
  s.domain = static_cast<std::uint8_t>(domain);
  s.holders = holder;
  s.local.address = domain == AF_INET ? base::IpAddress::any_v4() : base::IpAddress::any_v6();
  if (s.kind == SocketKind::kUdp) {
    const auto opened = stack_.udp().open(index, {});
    if (opened.index == 0) {
      s.kind = SocketKind::kFree;
      t_.sockets.free(index);
      return 0;
    }
    s.object = opened.index;
  }
  return index;
}

int Sockets::bind(std::uint32_t index, const base::Endpoint& local) {
  Socket& s = at(index);
  if ((s.kind != SocketKind::kStream && s.kind != SocketKind::kUdp) || s.bound != 0) return -EINVAL;
  if (s.kind == SocketKind::kUdp) {
    udp::Options& options = stack_.udp().options(s.object);
    options.reuse_address = s.reuse_address != 0;
    options.reuse_port = s.reuse_port != 0;
    options.v6_only = s.v6_only != 0;
    const int error = stack_.udp().bind(s.object, local);
    if (error != 0) return -error;
  }
  s.local = local;
  s.bound_address = local.address;
  s.bound = 1;
  return 0;
}

int Sockets::listen(std::uint32_t index, int backlog) {
  Socket& s = at(index);
  // Linux takes negative backlogs for large ones; 4096 is its somaxconn.
  const auto limit = static_cast<std::uint32_t>(backlog < 0 ? 4096 : std::clamp(backlog, 1, 4096));
  if (s.kind == SocketKind::kListener) {
    stack_.tcp().set_backlog(s.object, limit);
    return 0;
  }
  if (s.kind != SocketKind::kStream || s.bound == 0) return -EINVAL;
  const auto opened =
      stack_.tcp().listen(s.local, limit, index, s.options, s.v6_only != 0, s.reuse_port != 0);
  if (opened.index == 0) return -opened.error;
  s.object = opened.index;
  s.kind = SocketKind::kListener;
  return 0;
}

int Sockets::connect(std::uint32_t index, const base::Endpoint& local, const base::Endpoint& remote,
                     std::uint32_t path, base::Instant now) {
  Socket& s = at(index);
  if (s.kind != SocketKind::kStream) return connect_again(index, now);
  const auto opened = stack_.tcp().connect(local, remote, path, index, s.options, now);
  if (opened.index == 0) return -opened.error;
  s.object = opened.index;
  s.kind = SocketKind::kTcp;
  s.local = local;
  s.remote = remote;
  s.connecting = 1;
  return -EINPROGRESS;
}

int Sockets::connect_again(std::uint32_t index, base::Instant now) {
  Socket& s = at(index);
  if (s.kind == SocketKind::kListener) return -EISCONN;
  if (s.connecting == 0) return -EISCONN;
  const tcp::State state = stack_.tcp().state(s.object);
  if (state == tcp::State::kSynSent || state == tcp::State::kSynReceived) return -EALREADY;
  s.connecting = 0;
  if (state != tcp::State::kClosed) return 0;
  const int error = stack_.tcp().error(s.object);
  // Linux: once told, the failure is over, and the socket may try again.
  stack_.tcp().close(s.object, now);
  s.object = 0;
  s.kind = SocketKind::kStream;
  return error != 0 ? -error : -ECONNABORTED;
}

int Sockets::connect_datagram(std::uint32_t index, const base::IpAddress& local,
                              const base::Endpoint& remote, std::uint32_t path) {
  Socket& s = at(index);
  const int error = stack_.udp().connect(s.object, local, remote, path);
  if (error != 0) return -error;
  s.local.address = local;
  s.remote = remote;
  s.connected = 1;
  return 0;
}

void Sockets::disconnect_datagram(std::uint32_t index) {
  Socket& s = at(index);
  const base::IpAddress any =
      s.domain == AF_INET ? base::IpAddress::any_v4() : base::IpAddress::any_v6();
  stack_.udp().disconnect(s.object, any);
  s.local.address = any;
  s.remote = {};
  s.connected = 0;
}

int Sockets::accept(std::uint32_t index, std::uint64_t holder, base::Endpoint* peer) {
  if (at(index).kind != SocketKind::kListener) return -EINVAL;
  const std::uint8_t domain = at(index).domain;
  const std::uint32_t connection = stack_.tcp().accept(at(index).object);
  if (connection == 0) return -EAGAIN;
  const std::uint32_t made = create(domain, SOCK_STREAM, holder);
  if (made == 0) {
    stack_.tcp().abort(connection, {static_cast<std::int64_t>(stack_.state().last_turn_ns)});
    return -ENFILE;
  }
  Socket& s = at(made);
  s.kind = SocketKind::kTcp;
  s.object = connection;
  s.local = stack_.tcp().local(connection);
  s.remote = stack_.tcp().remote(connection);
  // Linux: a connection starts with what its listener has now, not when it began to listen.
  const base::Instant now{static_cast<std::int64_t>(stack_.state().last_turn_ns)};
  s.options = at(index).options;
  stack_.tcp().set_options(connection, s.options, now);
  stack_.tcp().set_socket(connection, made);
  if (peer != nullptr) *peer = s.remote;
  return static_cast<int>(made);
}

bool Sockets::release(std::uint32_t index, std::uint64_t holder, base::Instant now) {
  Socket& s = at(index);
  s.holders &= ~holder;
  if (s.holders != 0) return false;
  sets_.forget(index);
  if (s.kind == SocketKind::kTcp) stack_.tcp().close(s.object, now);
  if (s.kind == SocketKind::kListener) stack_.tcp().close_listener(s.object, now);
  if (s.kind == SocketKind::kUdp) stack_.udp().close(s.object);
  s.kind = SocketKind::kFree;
  t_.sockets.free(index);
  return true;
}

std::uint64_t Sockets::drain_all_events() {
  std::uint64_t waiters = sets_.take_woken();
  tcp::Event event;
  bool any = waiters != 0;
  while (stack_.tcp().next_event(event)) {
    any = true;
    if (event.socket == 0) continue;
    waiters |= at(event.socket).waiters | sets_.notify(event.socket, event.bits);
  }
  udp::Event datagram;
  while (stack_.udp().next_event(datagram)) {
    any = true;
    if (datagram.socket == 0) continue;
    waiters |= at(datagram.socket).waiters | sets_.notify(datagram.socket, datagram.bits);
  }
  if (any) {
    std::uint32_t& epoch = stack_.state().event_epoch;
    std::atomic_ref(epoch).store(epoch + 1, std::memory_order_release);
  }
  return waiters;
}

}  // namespace ringway::socket
