// Active opens: whom an address and port belong to, and by which link.

#include <cerrno>

#include "runtime/impl.h"

namespace ringway::runtime {

namespace {

/// The source address for a destination: loopback from loopback, one's own address from itself,
/// else the host's.
base::IpAddress source_for(const LocalStack& local, const base::IpAddress& to) {
  if (to.is_loopback()) return to.is_v4() ? base::IpAddress::loopback_v4() : to;
  return to.is_v4() ? local.state().address_v4 : local.state().address_v6;
}

}  // namespace

std::uint16_t Impl::lease_ports(LocalStack& local, const base::IpAddress& from,
                                const base::Endpoint& to) {
  {
    Entry entry(local);
    const std::uint16_t port = local.stack->choose_port(steering::Protocol::kTcp, from, to);
    if (port != 0) return port;
  }
  const std::lock_guard guard(control_mutex_);
  control::Client* c = client_for(local);
  if (c == nullptr) return 0;
  const auto block = c->lease_ephemeral(local.id, steering::Protocol::kTcp);
  if (!block) return 0;
  Entry entry(local);
  local.stack->add_port_block(steering::Protocol::kTcp, {block->first, block->count});
  return local.stack->choose_port(steering::Protocol::kTcp, from, to);
}

int Impl::connect(SocketId s, const base::Endpoint& remote) {
  LocalStack& local = arena(s.arena);
  base::Endpoint from;
  bool bound = false;
  bool any_v6 = false;
  {
    Entry entry(local);
    const stack::Socket* socket = entry.find(s.index, s.generation);
    if (socket == nullptr) return -EBADF;
    if (socket->kind != stack::SocketKind::kStream) {
      entry.turn();
      return entry.sockets().connect_again(s.index);
    }
    from = socket->local;
    bound = socket->bound != 0;
    any_v6 = socket->v6_only != 0;
  }
  if (any_v6 && remote.address.is_v4()) return -ENETUNREACH;
  // Linux: connecting to the any address means this machine.
  base::Endpoint to = remote;
  if (to.address.is_any()) {
    to.address =
        to.address.is_v4() ? base::IpAddress::loopback_v4() : base::IpAddress::loopback_v6();
  }
  const steering::Table* t = table();
  if (t == nullptr) return -ENETDOWN;
  const auto host = t->host_of_stack(local.id).value_or(steering::kNoHost);
  const auto hash =
      static_cast<std::uint32_t>(base::Random::mix(static_cast<std::uint64_t>(clock_now().ns)));
  const auto peer = t->lookup(to.address, steering::Protocol::kTcp, to.port, hash, host);
  if (!peer) {
    const bool ours = !to.address.is_loopback() && t->find_host(to.address).has_value();
    return ours ? -ECONNREFUSED : Runtime::kNotOurs;
  }
  const std::uint16_t link = link_to(local, *peer);
  if (link == stack::Stack::kNoLink) return -ENETUNREACH;
  if (!bound || from.address.is_any()) from.address = source_for(local, to.address);
  if (!bound) {
    from.port = lease_ports(local, from.address, to);
    if (from.port == 0) return -EADDRNOTAVAIL;
  }
  Entry entry(local);
  if (entry.find(s.index, s.generation) == nullptr) return -EBADF;
  const std::uint32_t path = local.stack->path_for(link, from.address, to.address);
  if (path == 0) return -ENETUNREACH;
  const int result = entry.sockets().connect(s.index, from, to, path, entry.now());
  keeper_.expect_absence();
  return result;
}

}  // namespace ringway::runtime
