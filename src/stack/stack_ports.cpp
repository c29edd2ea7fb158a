// Ports of other drivers than link.

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "stack/stack.h"

namespace ringway::stack {
namespace {

constexpr std::size_t kPortBurst = 64;

}  // namespace

std::uint16_t Stack::add_port(port::Port& port, mem::FramePool& pool) {
  if (external_count_ == kMaxPorts) return kNoLink;
  const auto number = static_cast<std::uint16_t>(kFirstPort + external_count_);
  External& e = external_[external_count_];
  e.port = &port;
  e.pool = &pool;
  e.fd = port.arm().value_or(-1);
  e.tx = port::TxBatch(&port, &pool, &touched_, number);
  tx_[number] = &e.tx;
  regions_.set(1U + number, pool.view());
  ip_->set_interface(interface_of(number), port.caps());
  ++external_count_;
  return number;
}

/// A port that cannot tell is found out about in the sleep, which ends at once.
bool Stack::ports_ready() const {
  for (std::uint32_t i = 0; i < external_count_; ++i) {
    if (external_[i].port != nullptr && external_[i].port->ready()) return true;
  }
  return false;
}

bool Stack::port_blocked() const {
  for (std::uint32_t i = 0; i < external_count_; ++i) {
    if (external_[i].tx.blocked()) return true;
  }
  return false;
}

std::uint32_t Stack::poll_port(std::uint32_t i, base::Instant now) {
  External& e = external_[i];
  if (e.port == nullptr) return 0;
  const auto number = static_cast<std::uint16_t>(kFirstPort + i);
  std::array<mem::FrameDesc, kPortBurst> burst;
  const std::size_t n = e.port->rx_burst(burst);
  const bool crowded = e.pool->free_count() < e.pool->size() / 4;
  bool in_chain = false;
  for (std::size_t k = 0; k < n; ++k) {
    const mem::FrameDesc& desc = burst[k];
    Received received{e.pool->data(desc.slot) + desc.offset,       desc.length, desc,
                      mem::FrameRef::make(1U + number, desc.slot), crowded,     false};
    // The first piece of a chain is counted and dropped, and the others go with it.
    if (!in_chain) input(number, received, now);
    in_chain = (desc.flags & mem::kFrameMore) != 0;
    if (!received.taken) e.pool->free(desc.slot);
  }
  if (n != 0) state_->counters.add(Count::kRxFrames, static_cast<std::uint32_t>(n));
  if (e.tx.blocked()) e.tx.flush();
  return static_cast<std::uint32_t>(n);
}

bool Stack::make_external_path(port::Path& path, std::uint16_t port, const base::IpAddress& local,
                               const base::IpAddress& remote) {
  const base::Instant now{static_cast<std::int64_t>(state_->last_turn_ns)};
  const auto outcome = ip_->make_path(remote, local, now, outputs(), path);
  const bool made = outcome == ip::PathOutcome::kReady || outcome == ip::PathOutcome::kPending;
  if (!made || path.port != interface_of(port)) return false;
  path.port = port;
  return true;
}

void Stack::refresh_external_paths() {
  for (std::uint32_t i = 1; i <= state_->paths.slab.high_water(); ++i) {
    port::Path& path = state_->paths.slab[i];
    const bool external = path.port >= kFirstPort && path.header_length != 0 &&
                          path.users != kFreedPath && (path.flags & port::kPathDown) == 0;
    if (!external || path.generation == ip_->state().generation) continue;
    port::Path made = path;
    if (make_external_path(made, path.port, path.local, path.remote)) {
      made.ip_id = path.ip_id;
      path = made;
    } else {
      // No route or address now: as with an unplugged cable, timers decide.
      path.flags |= port::kPathPending;
    }
  }
  paths_generation_ = ip_->state().generation;
}

/// On a device whose neighbours somebody else knows: who sent a frame can be answered there.
void Stack::learn_neighbour(std::uint16_t port, const Received& frame,
                            const base::IpAddress& remote) {
  const std::uint8_t interface = interface_of(port);
  if (!state_->ip.interfaces[interface].neighbours_external || frame.length < 14) return;
  const auto hop = ip_->next_hop(remote);
  if (!hop || hop->interface != interface) return;
  const std::uint32_t known = state_->ip.neighbours.find(interface, hop->address);
  if (known != 0 && state_->ip.neighbours[known].usable()) return;
  base::MacAddress mac;
  std::memcpy(mac.bytes.data(), frame.data + 6, mac.bytes.size());
  if (mac.is_multicast()) return;
  ip_->set_neighbour({interface, hop->address, mac}, *tx_[port]);
  refresh_external_paths();
}

void Stack::set_port_mtu(std::uint16_t number, std::uint16_t mtu) {
  External& e = external_[number - kFirstPort];
  if (e.port == nullptr) return;
  port::Caps caps = e.port->caps();
  caps.mtu = std::min(caps.mtu, mtu);
  if (e.tx.caps().mtu == caps.mtu) return;
  e.tx.caps() = caps;
  state_->ip.interfaces[interface_of(number)].mtu = caps.mtu;
  ++state_->ip.generation;
  refresh_external_paths();
}

void Stack::take_port_down(std::uint16_t number, base::Instant now) {
  External& e = external_[number - kFirstPort];
  e.port = nullptr;
  e.fd = -1;
  tx_[number] = nullptr;
  ip_->remove_interface(interface_of(number));
  for (std::uint32_t i = 1; i <= state_->paths.slab.high_water(); ++i) {
    port::Path& path = state_->paths.slab[i];
    if (path.port != number || path.header_length == 0) continue;
    path.flags |= port::kPathDown;
    tcp_.path_failed(i, ENETDOWN, now);
    udp_.path_failed(i, ENETDOWN);
  }
  forget_paths(number);
}

void Stack::forget_pending_frames() {
  for (std::uint32_t i = 0; i < external_count_; ++i) {
    External& e = external_[i];
    if (e.port == nullptr) continue;
    e.tx = port::TxBatch(e.port, e.pool, &touched_, static_cast<std::uint16_t>(kFirstPort + i));
  }
}

}  // namespace ringway::stack
