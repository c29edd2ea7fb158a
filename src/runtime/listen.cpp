// Listening sockets: leases, clones of inherited listeners, accepting.

#include <netinet/in.h>

#include <cerrno>

#include "runtime/impl.h"

namespace ringway::runtime {

namespace {

steering::ListenKey key_of(const stack::Socket& s) {
  steering::ListenKey key;
  key.protocol =
      s.kind == stack::SocketKind::kUdp ? steering::Protocol::kUdp : steering::Protocol::kTcp;
  key.port = s.local.port;
  if (!s.bound_address.is_any()) {
    key.scope = steering::Scope::kSpecific;
    key.address = s.bound_address;
  } else if (s.domain == AF_INET) {
    key.scope = steering::Scope::kAnyV4;
  } else {
    key.scope = s.v6_only != 0 ? steering::Scope::kAnyV6 : steering::Scope::kAny;
  }
  return key;
}

/// Linux's inet_csk_bind_conflict, for two sockets of one stack: the daemon sees stacks only.
bool may_share(const stack::Socket& one, const stack::Socket& other) {
  if (one.reuse_port != 0 && other.reuse_port != 0) return true;
  return one.reuse_address != 0 && other.reuse_address != 0 &&
         one.kind != stack::SocketKind::kListener && other.kind != stack::SocketKind::kListener;
}

bool same_key(const steering::ListenKey& a, const steering::ListenKey& b) {
  return a.port == b.port && a.protocol == b.protocol && a.scope == b.scope &&
         a.address == b.address;
}

int errno_of(const base::Error& error, int otherwise) {
  return error.os_errno != 0 ? -error.os_errno : -otherwise;
}

}  // namespace

std::vector<std::pair<steering::ListenKey, std::uint8_t>> Impl::leases_of(LocalStack& local) {
  std::vector<std::pair<steering::ListenKey, std::uint8_t>> leases;
  Entry entry(local);
  auto& sockets = local.state().sockets.sockets;
  for (std::uint32_t i = 1; i <= sockets.high_water(); ++i) {
    const stack::Socket& s = sockets[i];
    if (s.kind == stack::SocketKind::kFree || s.leased == 0) continue;
    const int flags = (s.reuse_port != 0 ? steering::kEntryReusePort : 0) |
                      (s.listening_active != 0 ? steering::kEntryActive : 0);
    leases.emplace_back(key_of(s), static_cast<std::uint8_t>(flags));
  }
  return leases;
}

bool Impl::is_taken(LocalStack& local, const stack::Socket& wanted,
                    const steering::ListenKey& key) {
  auto& sockets = local.state().sockets.sockets;
  for (std::uint32_t i = 1; i <= sockets.high_water(); ++i) {
    const stack::Socket& s = sockets[i];
    if (s.kind == stack::SocketKind::kFree || s.leased == 0 || s.local.port != key.port) continue;
    if (same_key(key_of(s), key) && !may_share(wanted, s)) return true;
  }
  return false;
}

int Impl::bind(SocketId s, const base::Endpoint& local_endpoint) {
  LocalStack& local = arena(s.arena);
  steering::ListenKey key;
  std::uint8_t flags = 0;
  {
    Entry entry(local);
    stack::Socket* socket = entry.find(s.index, s.generation);
    if (socket == nullptr) return -EBADF;
    if (socket->bound != 0) return -EINVAL;
    stack::Socket wanted = *socket;
    wanted.local = local_endpoint;
    wanted.bound_address = local_endpoint.address;
    key = key_of(wanted);
    if (key.port != 0 && is_taken(local, wanted, key)) return -EADDRINUSE;
    if (socket->reuse_port != 0) flags |= steering::kEntryReusePort;
    // Linux: datagram sockets with SO_REUSEADDR share a port.
    if (socket->reuse_address != 0 && key.protocol == steering::Protocol::kUdp)
      flags |= steering::kEntryReusePort;
  }
  if (device_has(local, local_endpoint.address)) return bind_at_device(local, s, local_endpoint);
  std::uint16_t port = 0;
  {
    const ControlScope control(*this);
    control::Client* c = client_for(local);
    if (c == nullptr) return -ENETDOWN;
    const auto leased = c->lease_listen(local.id, key, flags);
    if (!leased) return errno_of(leased.error(), EADDRINUSE);
    port = *leased;
    const int failure = local.device && local_endpoint.address.is_any()
                            ? local.device->lease(key.protocol, {local_endpoint.address, port})
                            : 0;
    if (failure != 0) {
      key.port = port;
      static_cast<void>(c->release_listen(local.id, key));
      return failure;
    }
  }
  Entry entry(local);
  stack::Socket* socket = entry.find(s.index, s.generation);
  if (socket == nullptr) return -EBADF;
  const int result = entry.sockets().bind(s.index, {local_endpoint.address, port});
  if (result == 0) socket->leased = 1;
  return result;
}

int Impl::listen(SocketId s, int backlog) {
  LocalStack& local = arena(s.arena);
  base::Endpoint any;
  {
    Entry entry(local);
    const stack::Socket* socket = entry.find(s.index, s.generation);
    if (socket == nullptr) return -EBADF;
    if (socket->bound != 0) return entry.sockets().listen(s.index, backlog);
    any = socket->local;
  }
  const int bound = bind(s, any);
  if (bound != 0) return bound;
  Entry entry(local);
  return entry.find(s.index, s.generation) != nullptr ? entry.sockets().listen(s.index, backlog)
                                                      : -EBADF;
}

const Clone* Impl::find_clone(SocketId s) {
  if (arena(s.arena).own) return nullptr;
  const std::lock_guard guard(clones_mutex_);
  return find_clone_locked(s);
}

const Clone* Impl::find_clone_locked(SocketId s) const {
  for (const auto& clone : clones_) {
    if (clone->inherited == s) return clone.get();
  }
  return nullptr;
}

const Clone* Impl::clone_of(SocketId s) {
  if (arena(s.arena).own) return nullptr;
  const std::lock_guard guard(clones_mutex_);
  const Clone* known = find_clone_locked(s);
  return known != nullptr ? known : make_clone(s);
}

bool Impl::lease_clone(LocalStack& local, LocalStack& from, const steering::ListenKey& key) {
  const ControlScope control(*this);
  control::Client* c = client_for(from);
  if (c == nullptr || !c->clone_listen(local.id, from.id, key)) return false;
  static_cast<void>(c->listen_active(local.id, key, true));
  return true;
}

const Clone* Impl::make_clone(SocketId s) {
  LocalStack& from = arena(s.arena);
  stack::Socket original;
  std::uint32_t backlog = 128;
  {
    Entry entry(from);
    const stack::Socket* socket = entry.find(s.index, s.generation);
    if (socket == nullptr || socket->kind != stack::SocketKind::kListener) return nullptr;
    original = *socket;
    backlog = from.state().tcp.listeners[socket->object].backlog;
  }
  auto mine = own();
  if (!mine) return nullptr;
  LocalStack& local = **mine;
  SocketId made{0, 0, local.number};
  {
    Entry entry(local);
    made.index = entry.sockets().create(original.domain, SOCK_STREAM, local.holder_bit);
    if (made.index == 0) return nullptr;
    stack::Socket& socket = entry.sockets().at(made.index);
    made.generation = socket.generation;
    socket.options = original.options;
    socket.reuse_port = original.reuse_port;
    socket.v6_only = original.v6_only;
    entry.sockets().bind(made.index, original.local);
    socket.leased = 1;
    if (entry.sockets().listen(made.index, static_cast<int>(backlog)) != 0) {
      entry.sockets().release(made.index, local.holder_bit, entry.now());
      return nullptr;
    }
  }
  if (!lease_clone(local, from, key_of(original))) {
    Entry entry(local);  // it is tried again the next time
    entry.sockets().release(made.index, local.holder_bit, entry.now());
    return nullptr;
  }
  clones_.push_back(std::make_unique<Clone>(Clone{s, made}));
  return clones_.back().get();
}

void Impl::announce_active(LocalStack& local, SocketId s) {
  steering::ListenKey key;
  {
    Entry entry(local);
    stack::Socket* socket = entry.find(s.index, s.generation);
    if (socket == nullptr || socket->kind != stack::SocketKind::kListener ||
        socket->listening_active != 0)
      return;
    socket->listening_active = 1;
    key = key_of(*socket);
  }
  const ControlScope control(*this);
  control::Client* c = client_for(local);
  if (c != nullptr) static_cast<void>(c->listen_active(local.id, key, true));
}

int Impl::accept_in(SocketId s, SocketId* out, base::Endpoint* peer) {
  LocalStack& local = arena(s.arena);
  bool announce = false;
  bool left = false;
  int result = 0;
  {
    Entry entry(local);
    stack::Socket* socket = entry.find(s.index, s.generation);
    if (socket == nullptr) return -EBADF;
    announce =
        local.own && socket->kind == stack::SocketKind::kListener && socket->listening_active == 0;
    result = entry.sockets().accept(s.index, local.holder_bit, peer);
    if (result == -EAGAIN && entry.turn())
      result = entry.sockets().accept(s.index, local.holder_bit, peer);
    if (result > 0) {
      const auto index = static_cast<std::uint32_t>(result);
      *out = {index, entry.sockets().at(index).generation, s.arena};
      result = 0;
    }
    left = result == -EAGAIN && socket->posted != 0;
  }
  if (announce) announce_active(local, s);
  return left ? accept_left(local, s, out, peer) : result;
}

int Impl::accept(SocketId s, SocketId* out, base::Endpoint* peer) {
  const Clone* clone = clone_of(s);
  if (clone != nullptr) {
    const int result = accept_in(clone->own, out, peer);
    if (result != -EAGAIN) return result;
    LocalStack& from = arena(s.arena);
    if (from.stack->has_unmapped_links()) map_missing_links(from);
  }
  return accept_in(s, out, peer);
}

/// A stack leases a port once for all its sockets that share it.
bool Impl::leased_by_another(LocalStack& local, std::uint32_t index) {
  auto& sockets = local.state().sockets.sockets;
  const steering::ListenKey key = key_of(sockets[index]);
  for (std::uint32_t i = 1; i <= sockets.high_water(); ++i) {
    const stack::Socket& s = sockets[i];
    if (i == index || s.kind == stack::SocketKind::kFree || s.leased == 0 ||
        s.local.port != key.port) {
      continue;
    }
    if (same_key(key_of(s), key)) return true;
  }
  return false;
}

void Impl::withdraw(LocalStack& local, SocketId s) {
  steering::ListenKey key;
  base::Endpoint at;
  {
    Entry entry(local);
    stack::Socket* socket = entry.find(s.index, s.generation);
    if (socket == nullptr || socket->leased == 0 || socket->holders != local.holder_bit ||
        leased_by_another(local, s.index)) {
      return;
    }
    key = key_of(*socket);
    socket->leased = 0;
  }
  const ControlScope control(*this);
  control::Client* c = client_for(local);
  if (c != nullptr) static_cast<void>(c->release_listen(local.id, key));
}

void Impl::withdraw_all(LocalStack& local) {
  std::vector<SocketId> leased;
  {
    const Entry entry(local);
    auto& sockets = local.state().sockets.sockets;
    for (std::uint32_t i = 1; i <= sockets.high_water(); ++i) {
      if (sockets[i].kind != stack::SocketKind::kFree && sockets[i].leased != 0)
        leased.push_back({i, sockets[i].generation, local.number});
    }
  }
  for (const SocketId& s : leased) withdraw(local, s);
}

void Impl::release_in(LocalStack& local, SocketId s) {
  // First nobody is sent here any more, then the door is closed: others may listen on this port,
  // and whoever connects meanwhile is to find one of these.
  leave_device(local, s);
  withdraw(local, s);
  Entry entry(local);
  const stack::Socket* socket = entry.find(s.index, s.generation);
  if (socket == nullptr) return;
  if (socket->posted != 0 && (socket->holders & ~local.holder_bit) == 0)
    discard_left(local, s.index);
  entry.sockets().release(s.index, local.holder_bit, entry.now());
}

void Impl::release(SocketId s) {
  LocalStack& local = arena(s.arena);
  if (!local.own) {
    SocketId mine;
    {
      const std::lock_guard guard(clones_mutex_);
      for (auto it = clones_.begin(); it != clones_.end(); ++it) {
        if ((*it)->inherited != s) continue;
        mine = (*it)->own;
        clones_.erase(it);
        break;
      }
    }
    if (mine.valid()) {
      leave_queue(s, mine);
      release_in(arena(mine.arena), mine);
    }
  }
  release_in(local, s);
}

}  // namespace ringway::runtime
