#include "socket/sets.h"

#include <cerrno>

namespace ringway::socket {

std::uint32_t Sets::create(std::uint64_t holder) {
  const std::uint32_t index = t_.sets.allocate();
  if (index != 0) t_.sets[index].holders = holder;
  return index;
}

void Sets::destroy(std::uint32_t set_index) {
  stack::EpollSet& set = t_.sets[set_index];
  for (std::uint32_t i = 1; set.items != 0 && i <= t_.items.high_water(); ++i) {
    stack::EpollItem& item = t_.items[i];
    if (item.set != set_index || item.socket == 0 || item.dead != 0) continue;
    unlink_from_socket(i);
    discard(i);
  }
  while (set.ready_head != 0) t_.items.free(dequeue(set));
  t_.sets.free(set_index);
}

std::uint32_t Sets::find(std::uint32_t set, std::uint32_t socket, int tag) const {
  for (std::uint32_t i = t_.sockets[socket].items; i != 0; i = t_.items[i].next_of_socket) {
    if (t_.items[i].set == set && t_.items[i].tag == tag) return i;
  }
  return 0;
}

int Sets::control(std::uint32_t set, int op, std::uint32_t socket, int tag,
                  const epoll_event& event, std::uint32_t ready_now) {
  std::uint32_t index = find(set, socket, tag);
  if (op == EPOLL_CTL_ADD) {
    if (index != 0) return -EEXIST;
    index = t_.items.allocate();
    if (index == 0) return -ENOMEM;
    stack::EpollItem& item = t_.items[index];
    item.socket = socket;
    item.set = set;
    item.tag = tag;
    item.next_of_socket = t_.sockets[socket].items;
    t_.sockets[socket].items = index;
    ++t_.sets[set].items;
  } else if (index == 0) {
    return -ENOENT;
  } else if (op == EPOLL_CTL_DEL) {
    unlink_from_socket(index);
    discard(index);
    return 0;
  } else if (op != EPOLL_CTL_MOD ||
             ((t_.items[index].events | event.events) & EPOLLEXCLUSIVE) != 0) {
    return -EINVAL;  // epoll_ctl(2): an exclusive item cannot be changed
  }
  stack::EpollItem& item = t_.items[index];
  item.events = event.events | kAlways;  // what is left of a fired one-shot lacks even these
  item.data = event.data.u64;
  if ((ready_now & item.events) != 0) {
    enqueue(index);
    woken_ |= t_.sets[set].waiters;
  }
  return 0;
}

std::uint64_t Sets::notify(std::uint32_t socket, std::uint32_t bits) {
  std::uint64_t waiters = 0;
  for (std::uint32_t i = t_.sockets[socket].items; i != 0; i = t_.items[i].next_of_socket) {
    const stack::EpollItem& item = t_.items[i];
    if ((bits & (item.events | kAlways)) == 0 || (item.events & ~kModes) == 0) continue;
    enqueue(i);
    waiters |= t_.sets[item.set].waiters;
  }
  return waiters;
}

void Sets::forget(std::uint32_t socket) {
  while (t_.sockets[socket].items != 0) {
    const std::uint32_t index = t_.sockets[socket].items;
    unlink_from_socket(index);
    discard(index);
  }
}

void Sets::enqueue(std::uint32_t index) {
  stack::EpollItem& item = t_.items[index];
  if (item.queued != 0) return;
  stack::EpollSet& set = t_.sets[item.set];
  item.queued = 1;
  item.next_ready = 0;
  if (set.ready_tail != 0) {
    t_.items[set.ready_tail].next_ready = index;
  } else {
    set.ready_head = index;
  }
  set.ready_tail = index;
  ++set.ready_count;
}

std::uint32_t Sets::dequeue(stack::EpollSet& set) {
  const std::uint32_t index = set.ready_head;
  stack::EpollItem& item = t_.items[index];
  set.ready_head = item.next_ready;
  if (set.ready_head == 0) set.ready_tail = 0;
  --set.ready_count;
  item.queued = 0;
  return index;
}

void Sets::discard(std::uint32_t index) {
  stack::EpollItem& item = t_.items[index];
  --t_.sets[item.set].items;
  item.socket = 0;
  if (item.queued != 0) {
    item.dead = 1;
  } else {
    t_.items.free(index);
  }
}

void Sets::unlink_from_socket(std::uint32_t index) {
  const stack::EpollItem& item = t_.items[index];
  std::uint32_t* link = &t_.sockets[item.socket].items;
  while (*link != index) link = &t_.items[*link].next_of_socket;
  *link = item.next_of_socket;
}

}  // namespace ringway::socket
