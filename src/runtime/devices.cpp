// The external port of a program, as its sockets use it.

#include <cerrno>

#include "runtime/impl.h"

namespace ringway::runtime {

/// Precondition: control_mutex_ is held, and nobody else knows the stack yet.
base::Result<void> Impl::open_device(LocalStack& local) {
  if (options_.port.empty() || device_opened_) return {};
  auto device = Device::open(options_.port);
  if (!device) return tl::unexpected(device.error());
  if (auto joined = (*device)->join(*local.stack); !joined) return joined;
  device_opened_ = true;
  port_description_ = (*device)->said();
  local.device = std::move(*device);
  return {};
}

bool Impl::by_device(LocalStack& local, const base::Endpoint& to, std::uint16_t* port,
                     base::IpAddress* source) {
  if (!local.device) return false;
  const ControlScope control(*this);
  const auto from = local.device->source_for(*local.stack, to.address);
  if (!from) return false;
  *port = local.device->port();
  *source = *from;
  return true;
}

std::uint16_t Impl::device_port(LocalStack& local, steering::Protocol protocol,
                                const base::IpAddress& source, const base::Endpoint& to) {
  if (!local.device->leases()) return lease_ports(local, protocol, source, to);
  const ControlScope control(*this);
  return local.device->choose_port(*local.stack, protocol, source, to);
}

int Impl::device_lease(LocalStack& local, steering::Protocol protocol, const base::Endpoint& at) {
  if (!local.device) return 0;
  const ControlScope control(*this);
  return local.device->lease(protocol, at);
}

void Impl::device_release(LocalStack& local, steering::Protocol protocol,
                          const base::Endpoint& at) {
  if (!local.device) return;
  const ControlScope control(*this);
  local.device->release(protocol, at);
}

bool Impl::device_has(LocalStack& local, const base::IpAddress& address) {
  if (!local.device) return false;
  const ControlScope control(*this);
  return local.device->has(address);
}

/// An address of the device is no host's of the network: only the device's port is taken.
int Impl::bind_at_device(LocalStack& local, SocketId s, base::Endpoint at) {
  steering::Protocol protocol = steering::Protocol::kTcp;
  {
    Entry entry(local);
    const stack::Socket* socket = entry.find(s.index, s.generation);
    if (socket == nullptr) return -EBADF;
    if (socket->kind == stack::SocketKind::kUdp) protocol = steering::Protocol::kUdp;
  }
  if (at.port == 0) {
    at.port = device_port(local, protocol, at.address, {});
    if (at.port == 0) return -EADDRNOTAVAIL;
  } else if (const int failure = device_lease(local, protocol, at); failure != 0) {
    return failure;
  }
  Entry entry(local);
  if (entry.find(s.index, s.generation) == nullptr) return -EBADF;
  return entry.sockets().bind(s.index, at);
}

/// A port is held there as long as a socket is bound to it, whether a lease of the network goes
/// with it or not.
void Impl::leave_device(LocalStack& local, SocketId s) {
  if (!local.device) return;
  steering::Protocol protocol = steering::Protocol::kTcp;
  base::Endpoint at;
  {
    Entry entry(local);
    const stack::Socket* socket = entry.find(s.index, s.generation);
    // A connection is bound to its listener's port, which is not its own.
    if (socket == nullptr || socket->bound == 0 || socket->kind == stack::SocketKind::kTcp ||
        socket->holders != local.holder_bit || leased_by_another(local, s.index)) {
      return;
    }
    if (socket->kind == stack::SocketKind::kUdp) protocol = steering::Protocol::kUdp;
    at = {socket->bound_address, socket->local.port};
  }
  device_release(local, protocol, at);
}

void Impl::resolve_wanted(LocalStack& local) {
  if (!local.device) return;
  std::vector<base::IpAddress> wanted;
  {
    Entry entry(local);
    while (const auto address = local.stack->ip().take_wanted()) wanted.push_back(*address);
  }
  if (wanted.empty()) return;
  const ControlScope control(*this);
  local.device->resolve(wanted);
}

bool Impl::device_events() {
  bool alive = true;
  for (std::uint32_t i = 0; i < arena_count(); ++i) {
    LocalStack& local = arena(i);
    if (!local.device) continue;
    const ControlScope control(*this);
    bool gone = local.device->daemon_event();
    alive = alive && !local.device->daemon_lost();
    const std::vector<KernelFact> facts = local.device->changes();
    if (facts.empty() && !gone) continue;
    {
      Entry entry(local);
      gone = gone || local.device->apply(*local.stack, facts);
      if (gone) local.stack->take_port_down(local.device->port(), entry.now());
      entry.turn();
    }
    local.device->follow_addresses();
  }
  return alive;
}

}  // namespace ringway::runtime
