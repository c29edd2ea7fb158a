// Bytes in and out of sockets.

#include <sys/epoll.h>

#include <cerrno>

#include "socket/sockets.h"

namespace ringway::socket {

using stack::Socket;
using stack::SocketKind;

ssize_t Sockets::send(std::uint32_t index, std::span<const iovec> from, int flags,
                      base::Instant now) {
  const Socket& s = at(index);
  if (s.kind != SocketKind::kTcp) [[unlikely]]
    return s.kind == SocketKind::kUdp ? -ENOTCONN : -EPIPE;
  if ((flags & MSG_OOB) != 0) return -EOPNOTSUPP;
  const tcp::Io io = stack_.tcp().send(s.object, from, (flags & MSG_MORE) != 0, now);
  if (io.bytes != 0) [[likely]]
    return io.bytes;
  if (io.error != 0) return -io.error;
  for (const iovec& v : from) {
    if (v.iov_len != 0) return -EAGAIN;
  }
  return 0;
}

ssize_t Sockets::receive(std::uint32_t index, std::span<const iovec> to, int flags,
                         base::Instant now) {
  const Socket& s = at(index);
  if (s.kind != SocketKind::kTcp) [[unlikely]]
    return -ENOTCONN;
  if ((flags & MSG_OOB) != 0) return -EINVAL;
  const tcp::Io io = stack_.tcp().recv(s.object, to, (flags & MSG_PEEK) != 0, now);
  if (io.bytes != 0) [[likely]]
    return io.bytes;
  if (io.error != 0) return -io.error;
  const std::uint32_t ready = stack_.tcp().readiness(s.object);
  if ((ready & EPOLLRDHUP) != 0 && stack_.tcp().readable_bytes(s.object) == 0) return 0;
  for (const iovec& v : to) {
    if (v.iov_len != 0) return -EAGAIN;
  }
  return 0;
}

ssize_t Sockets::send_datagram(std::uint32_t index, std::span<const iovec> from,
                               const base::Endpoint& remote, std::uint32_t path) {
  const udp::Io io = stack_.udp().send_to(at(index).object, from, remote, path);
  return io.error != 0 ? -io.error : static_cast<ssize_t>(io.bytes);
}

ssize_t Sockets::receive_datagram(std::uint32_t index, std::span<const iovec> to, int flags,
                                  base::Endpoint* from, int* out_flags) {
  udp::Message message;
  const udp::Io io = stack_.udp().recv(at(index).object, to, (flags & MSG_PEEK) != 0, message);
  if (io.error != 0) return -io.error;
  if (from != nullptr) *from = message.remote;
  if (message.length <= io.bytes) return io.bytes;
  if (out_flags != nullptr) *out_flags = MSG_TRUNC;
  return (flags & MSG_TRUNC) != 0 ? message.length : io.bytes;
}

int Sockets::shutdown(std::uint32_t index, int how, base::Instant now) {
  const Socket& s = at(index);
  if (how < SHUT_RD || how > SHUT_RDWR) return -EINVAL;
  if (s.kind == SocketKind::kListener && how != SHUT_WR) {
    // Linux: a listener that is shut down for reading listens no more.
    stack_.tcp().close_listener(s.object, now);
    at(index).kind = SocketKind::kStream;
    at(index).object = 0;
    return 0;
  }
  if (s.kind == SocketKind::kUdp) {
    if (s.connected == 0) return -ENOTCONN;
    if (how != SHUT_WR) stack_.udp().shutdown_read(s.object);
    if (how != SHUT_RD) stack_.udp().shutdown_write(s.object);
    return 0;
  }
  if (s.kind != SocketKind::kTcp) return -ENOTCONN;
  const tcp::State state = stack_.tcp().state(s.object);
  if (state == tcp::State::kClosed || state == tcp::State::kSynSent) return -ENOTCONN;
  if (how != SHUT_WR) stack_.tcp().shutdown_read(s.object);
  if (how != SHUT_RD) stack_.tcp().shutdown_write(s.object, now);
  return 0;
}

int Sockets::queued_in(std::uint32_t index) {
  const Socket& s = at(index);
  if (s.kind == SocketKind::kListener) return -EINVAL;
  if (s.kind == SocketKind::kUdp) return static_cast<int>(stack_.udp().readable_bytes(s.object));
  return s.kind == SocketKind::kTcp ? static_cast<int>(stack_.tcp().readable_bytes(s.object)) : 0;
}

int Sockets::queued_out(std::uint32_t index) {
  const Socket& s = at(index);
  if (s.kind == SocketKind::kListener) return -EINVAL;
  return s.kind == SocketKind::kTcp ? static_cast<int>(stack_.tcp().unsent_bytes(s.object)) : 0;
}

std::uint32_t Sockets::readiness(std::uint32_t index) {
  const Socket& s = at(index);
  switch (s.kind) {
    case SocketKind::kTcp:
      return stack_.tcp().readiness(s.object);
    case SocketKind::kListener:
      return stack_.tcp().listener_readiness(s.object) | (s.posted != 0 ? EPOLLIN : 0U);
    case SocketKind::kUdp:
      return stack_.udp().readiness(s.object);
    default:
      // Linux: a socket that was never connected is hung up and writable.
      return EPOLLOUT | EPOLLHUP;
  }
}

int Sockets::local(std::uint32_t index, base::Endpoint* out) {
  *out = at(index).local;
  return 0;
}

int Sockets::peer(std::uint32_t index, base::Endpoint* out) {
  const Socket& s = at(index);
  if (s.kind == SocketKind::kUdp && s.connected != 0) {
    *out = s.remote;
    return 0;
  }
  if (s.kind != SocketKind::kTcp) return -ENOTCONN;
  const tcp::State state = stack_.tcp().state(s.object);
  if (state == tcp::State::kClosed || state == tcp::State::kSynSent) return -ENOTCONN;
  *out = s.remote;
  return 0;
}

}  // namespace ringway::socket
