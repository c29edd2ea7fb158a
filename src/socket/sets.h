#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <span>
#include <utility>

#include "stack/socket_state.h"

namespace ringway::socket {

/// Interest lists as epoll(7) has them, over the socket tables of one arena.
///
/// Items hang on their socket. When something happens to the socket, its items are queued in their
/// sets; collect() asks each queued item's socket whether it is ready now. A level-triggered item
/// stays queued while it is ready, an edge-triggered one until the next event. Not thread-safe: the
/// stack's lock guards it.
class Sets {
 public:
  explicit Sets(stack::SocketTables& tables) : t_(tables) {}

  /// 0 when there are too many.
  std::uint32_t create(std::uint64_t holder);
  /// True when `holder` was the last one: destroy the set.
  bool drop_holder(std::uint32_t set, std::uint64_t holder) {
    t_.sets[set].holders &= ~holder;
    return t_.sets[set].holders == 0;
  }
  void destroy(std::uint32_t set);
  /// EPOLL_CTL_*; 0, -EEXIST, -ENOENT, -ENOMEM, -EINVAL. `ready_now`: the socket's readiness at
  /// this moment.
  int control(std::uint32_t set, int op, std::uint32_t socket, int tag, const epoll_event& event,
              std::uint32_t ready_now);
  /// Something happened to `socket`: queues its items. Returns the waiters of their sets.
  std::uint64_t notify(std::uint32_t socket, std::uint32_t bits);
  /// The waiters of sets that became ready by control(), once.
  std::uint64_t take_woken() { return std::exchange(woken_, 0); }
  /// Removes the socket from all its sets.
  void forget(std::uint32_t socket);

  /// Writes up to out.size() ready events. `readiness(socket)` returns EPOLL bits.
  template <typename Readiness>
  int collect(std::uint32_t set, std::span<epoll_event> out, Readiness&& readiness);
  /// A thread sleeps for the set, or has risen.
  void mark_waiter(std::uint32_t set, std::uint64_t waiter, bool on) {
    std::uint64_t& waiters = t_.sets[set].waiters;
    waiters = on ? waiters | waiter : waiters & ~waiter;
  }
  /// True if collect() would return something.
  template <typename Readiness>
  bool any_ready(std::uint32_t set, Readiness&& readiness) const;

 private:
  static constexpr std::uint32_t kAlways = EPOLLERR | EPOLLHUP;
  static constexpr std::uint32_t kModes = EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE;

  std::uint32_t find(std::uint32_t set, std::uint32_t socket, int tag) const;
  void enqueue(std::uint32_t item);
  std::uint32_t dequeue(stack::EpollSet& set);
  /// Frees the item, or leaves that to collect() while it is queued.
  void discard(std::uint32_t item);
  void unlink_from_socket(std::uint32_t item);

  stack::SocketTables& t_;
  std::uint64_t woken_ = 0;
};

template <typename Readiness>
int Sets::collect(std::uint32_t set_index, std::span<epoll_event> out, Readiness&& readiness) {
  stack::EpollSet& set = t_.sets[set_index];
  std::uint32_t left = set.ready_count;  // one round: what is queued again waits for the next call
  std::size_t n = 0;
  while (left-- != 0 && n < out.size()) {
    const std::uint32_t index = dequeue(set);
    stack::EpollItem& item = t_.items[index];
    if (item.dead != 0) {
      t_.items.free(index);
      continue;
    }
    if ((item.events & ~kModes) == 0) continue;  // a fired one-shot
    const std::uint32_t bits = readiness(item.socket) & (item.events | kAlways) & ~kModes;
    if (bits == 0) continue;
    out[n].events = bits;
    out[n].data.u64 = item.data;
    ++n;
    if ((item.events & EPOLLONESHOT) != 0) {
      item.events &= kModes;
    } else if ((item.events & EPOLLET) == 0) {
      enqueue(index);
    }
  }
  return static_cast<int>(n);
}

template <typename Readiness>
bool Sets::any_ready(std::uint32_t set, Readiness&& readiness) const {
  for (std::uint32_t i = t_.sets[set].ready_head; i != 0; i = t_.items[i].next_ready) {
    const stack::EpollItem& item = t_.items[i];
    if (item.dead != 0 || (item.events & ~kModes) == 0) continue;
    if ((readiness(item.socket) & (item.events | kAlways)) != 0) return true;
  }
  return false;
}

}  // namespace ringway::socket
