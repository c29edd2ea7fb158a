#include "cli/arena_reader.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/sys.h"
#include "mem/arena.h"
#include "stack/state.h"

namespace ringway::cli {

namespace {

constexpr int kTries = 4;

/// A copy of `shared` whose two readings agree by `same`; empty if it is in motion.
template <typename T, typename Same>
std::optional<T> steady(const T& shared, Same&& same) {
  T before;
  T after;
  std::memcpy(static_cast<void*>(&before), &shared, sizeof before);
  for (int i = 0; i < kTries; ++i) {
    // The compiler must not take the second copy from the first.
    asm volatile("" ::: "memory");
    std::memcpy(static_cast<void*>(&after), &shared, sizeof after);
    if (same(before, after)) return after;
    before = after;
  }
  return std::nullopt;
}

ConnectionView view_of(const tcp::Connection& connection) {
  ConnectionView view;
  view.state = tcp::name(connection.state);
  view.local = {connection.local, connection.local_port};
  view.remote = {connection.remote, connection.remote_port};
  view.receive_queue_bytes = connection.rx.bytes;
  view.send_queue_bytes = connection.tx.bytes;
  view.link = (connection.flags & tcp::kReliable) != 0;
  view.rtt_us = connection.srtt_us;
  view.cwnd_bytes = connection.congestion.cwnd;
  view.retransmits = connection.retransmits;
  view.bytes_sent = connection.bytes_sent;
  view.bytes_received = connection.bytes_received;
  return view;
}

void read_connections(const tcp::ConnectionSlab& slab, StackView& into) {
  const auto end = std::min(slab.high_water(), tcp::ConnectionSlab::kCapacity);
  for (std::uint32_t i = 1; i <= end; ++i) {
    const auto copy = steady(slab[i], [](const auto& a, const auto& b) {
      return a.state == b.state && a.generation == b.generation && a.local == b.local &&
             a.remote == b.remote && a.local_port == b.local_port && a.remote_port == b.remote_port;
    });
    if (!copy || copy->state == tcp::State::kClosed || copy->state > tcp::State::kTimeWait)
      continue;
    into.connections.push_back(view_of(*copy));
  }
}

void read_listeners(const tcp::ListenerSlab& slab, StackView& into) {
  const auto end = std::min(slab.high_water(), tcp::ListenerSlab::kCapacity);
  for (std::uint32_t i = 1; i <= end; ++i) {
    const auto copy = steady(slab[i], [](const auto& a, const auto& b) {
      return a.in_use == b.in_use && a.generation == b.generation && a.local == b.local;
    });
    if (copy && copy->in_use) into.listeners.push_back({copy->local, copy->ready, copy->backlog});
  }
}

}  // namespace

base::Result<StackView> read_stack(int fd) {
  // Stacks without sockets of their own (`ringway ping`) have an arena of one page.
  constexpr off_t kOnePage = 4096;
  struct stat status {};
  if (base::sys::fstat(fd, &status) == 0 && status.st_size <= kOnePage) {
    base::sys::close(fd);
    return StackView{};
  }
  const auto arena = mem::Arena::map(fd, stack::layout_hash(), true);
  if (!arena) return tl::unexpected(arena.error());
  if (arena->size() < sizeof(stack::StackState)) {
    return base::fail(base::ErrorCode::kCorrupt, "an arena is too small");
  }
  const auto& state = arena->as<const stack::StackState>();
  StackView view;
  view.poisoned = state.header.poisoned != 0;
  read_connections(state.tcp.connections, view);
  read_listeners(state.tcp.listeners, view);
  return view;
}

}  // namespace ringway::cli
