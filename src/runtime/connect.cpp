// Active opens and datagrams: whom an address and port belong to, and by which link.

#include <cerrno>

#include "runtime/impl.h"

namespace ringway::runtime {

namespace {

/// The source address for a destination: loopback from loopback, else the host's.
base::IpAddress source_for(const LocalStack& local, const base::IpAddress& to) {
  if (to.is_loopback()) return to.is_v4() ? base::IpAddress::loopback_v4() : to;
  return to.is_v4() ? local.state().address_v4 : local.state().address_v6;
}

/// Changes when an address may have another owner, or a path's number may be another link's.
std::uint64_t ways_of(const LocalStack& local, std::uint64_t table_generation) {
  return table_generation << 32 | local.state().links_generation;
}

/// Linux: the any address as a destination means this machine.
base::Endpoint destination(const base::Endpoint& remote) {
  if (!remote.address.is_any()) return remote;
  return {remote.address.is_v4() ? base::IpAddress::loopback_v4() : base::IpAddress::loopback_v6(),
          remote.port};
}

}  // namespace

std::uint16_t Impl::lease_ports(LocalStack& local, steering::Protocol protocol,
                                const base::IpAddress& from, const base::Endpoint& to) {
  {
    Entry entry(local);
    const std::uint16_t port = local.stack->choose_port(protocol, from, to);
    if (port != 0) return port;
  }
  const ControlScope control(*this);
  control::Client* c = client_for(local);
  if (c == nullptr) return 0;
  const auto block = c->lease_ephemeral(local.id, protocol);
  if (!block) return 0;
  Entry entry(local);
  local.stack->add_port_block(protocol, {block->first, block->count});
  return local.stack->choose_port(protocol, from, to);
}

int Impl::route(LocalStack& local, steering::Protocol protocol, const base::Endpoint& to,
                std::uint16_t* link, base::IpAddress* source) {
  const steering::Table* t = table();
  if (t == nullptr) return -ENETDOWN;
  const auto host = t->host_of_stack(local.id).value_or(steering::kNoHost);
  const auto hash = static_cast<std::uint32_t>(base::Random::mix(++route_count_));
  for (;;) {
    const std::uint64_t generation = t->generation();
    const auto peer = t->lookup(to.address, protocol, to.port, hash, host);
    if (!peer) {
      const bool ours = !to.address.is_loopback() && t->find_host(to.address).has_value();
      if (!ours && by_device(local, to, link, source)) return 0;
      return ours ? -ECONNREFUSED : Runtime::kNotOurs;
    }
    *link = link_to(local, *peer);
    if (*link != stack::Stack::kNoLink) return 0;
    // It may have ended since it was found: perhaps others have the port.
    if (t->generation() == generation) return -ENETUNREACH;
  }
}

int Impl::connect(SocketId s, const base::Endpoint& remote) {
  LocalStack& local = arena(s.arena);
  base::Endpoint from;
  bool bound = false;
  bool v6_only = false;
  bool datagram = false;
  {
    Entry entry(local);
    const stack::Socket* socket = entry.find(s.index, s.generation);
    if (socket == nullptr) return -EBADF;
    datagram = socket->kind == stack::SocketKind::kUdp;
    if (socket->kind != stack::SocketKind::kStream && !datagram) {
      entry.turn();
      return entry.sockets().connect_again(s.index, entry.now());
    }
    if (datagram && remote.port == 0 && remote.address.is_any()) {
      entry.sockets().disconnect_datagram(s.index);
      return 0;
    }
    from = socket->local;
    bound = socket->bound != 0;
    v6_only = socket->v6_only != 0;
  }
  if (v6_only && remote.address.is_v4()) return -ENETUNREACH;
  const base::Endpoint to = destination(remote);
  if (datagram) return connect_datagram(local, s, to);
  std::uint16_t link = 0;
  base::IpAddress source = source_for(local, to.address);
  const int routed = route(local, steering::Protocol::kTcp, to, &link, &source);
  if (routed != 0) return routed;
  if (!bound || from.address.is_any()) from.address = source;
  const bool device = link >= stack::kFirstPort;
  if (!bound) {
    from.port = device ? device_port(local, steering::Protocol::kTcp, from.address, to)
                       : lease_ports(local, steering::Protocol::kTcp, from.address, to);
    if (from.port == 0) return -EADDRNOTAVAIL;
  }
  int result = 0;
  {
    Entry entry(local);
    if (entry.find(s.index, s.generation) == nullptr) return -EBADF;
    const std::uint32_t path = local.stack->path_for(link, from.address, to.address);
    if (path == 0) return -ENETUNREACH;
    result = entry.sockets().connect(s.index, from, to, path, entry.now());
  }
  if (device) resolve_wanted(local);
  keeper_.expect_absence();
  return result;
}

int Impl::bind_datagram(LocalStack& local, SocketId s) {
  base::Endpoint any;
  {
    Entry entry(local);
    const stack::Socket* socket = entry.find(s.index, s.generation);
    if (socket == nullptr) return -EBADF;
    if (socket->bound != 0) return 0;
    any = socket->local;
  }
  any.port = lease_ports(local, steering::Protocol::kUdp, any.address, {any.address, 0});
  if (any.port == 0) return -EADDRNOTAVAIL;
  Entry entry(local);
  return entry.find(s.index, s.generation) != nullptr ? entry.sockets().bind(s.index, any) : -EBADF;
}

bool Impl::datagram_at_device(LocalStack& local, SocketId s) {
  base::Endpoint at;
  {
    Entry entry(local);
    const stack::Socket* socket = entry.find(s.index, s.generation);
    if (socket == nullptr) return false;
    at = {socket->bound_address, socket->local.port};
  }
  return device_lease(local, steering::Protocol::kUdp, at) == 0;
}

int Impl::connect_datagram(LocalStack& local, SocketId s, const base::Endpoint& to) {
  std::uint16_t link = 0;
  base::IpAddress source = source_for(local, to.address);
  const int routed = route(local, steering::Protocol::kUdp, to, &link, &source);
  if (routed != 0) return routed;
  const int bound = bind_datagram(local, s);
  if (bound != 0) return bound;
  if (link >= stack::kFirstPort && !datagram_at_device(local, s)) return -EADDRNOTAVAIL;
  int result = 0;
  {
    Entry entry(local);
    const stack::Socket* socket = entry.find(s.index, s.generation);
    if (socket == nullptr) return -EBADF;
    const base::IpAddress from = socket->local.address.is_any() ? source : socket->local.address;
    const std::uint32_t path = local.stack->path_for(link, from, to.address);
    if (path == 0) return -ENETUNREACH;
    keeper_.expect_absence();
    result = entry.sockets().connect_datagram(s.index, from, to, path);
  }
  if (link >= stack::kFirstPort) resolve_wanted(local);
  return result;
}

ssize_t Impl::send_datagram(SocketId s, std::span<const iovec> from, const base::Endpoint* to) {
  LocalStack& local = arena(s.arena);
  const steering::Table* t = table();
  for (int attempt = 0;; ++attempt) {
    base::Endpoint remote;
    {
      Entry entry(local);
      stack::Socket* socket = entry.find(s.index, s.generation);
      if (socket == nullptr) return -EBADF;
      if (to == nullptr && socket->connected == 0) return -EDESTADDRREQ;
      remote = to != nullptr ? destination(*to) : socket->remote;
      // The way is remembered with the socket for as long as the table of owners has not changed.
      const bool known = socket->bound != 0 && socket->path != 0 && socket->path_remote == remote &&
                         socket->path_generation == ways_of(local, t->generation());
      if (known) {
        ssize_t sent = entry.sockets().send_datagram(s.index, from, remote, socket->path);
        if (sent == -EAGAIN && entry.turn()) {
          sent = entry.sockets().send_datagram(s.index, from, remote, socket->path);
        }
        return sent;
      }
    }
    if (attempt == 3) return -EAGAIN;
    const int bound = bind_datagram(local, s);
    if (bound != 0) return bound;
    const std::uint64_t owners = t->generation();
    std::uint16_t link = 0;
    base::IpAddress source = source_for(local, remote.address);
    const int routed = route(local, steering::Protocol::kUdp, remote, &link, &source);
    if (routed != 0) return routed;
    const bool device = link >= stack::kFirstPort;
    if (device && !datagram_at_device(local, s)) return -EADDRNOTAVAIL;
    {
      Entry entry(local);
      stack::Socket* socket = entry.find(s.index, s.generation);
      if (socket == nullptr) return -EBADF;
      if (!socket->local.address.is_any()) source = socket->local.address;
      socket->path = local.stack->path_for(link, source, remote.address);
      if (socket->path == 0) return -ENETUNREACH;
      socket->path_remote = remote;
      socket->path_generation = ways_of(local, owners);
      if (socket->connected != 0) local.stack->udp().set_path(socket->object, socket->path);
    }
    if (device) resolve_wanted(local);
  }
}

}  // namespace ringway::runtime
