#include <time.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <vector>

#include "netmap/binding.h"
#include "netmap/device.h"
#include "netmap/hooks.h"

namespace ringway::netmap::hooks {
namespace {

/// One netmap descriptor in one epoll instance.
struct Interest {
  int epoll_fd;
  int fd;
  epoll_event event;
  std::uint64_t seen;  // signature when it was last told, for edges
  bool disabled;       // EPOLLONESHOT has fired
};

std::mutex guard;
std::vector<Interest>& interests() {
  static auto* const list = new std::vector<Interest>;  // used until the very end of a process
  return *list;
}
std::atomic<std::size_t> count{0};

auto find(int epoll_fd, int fd) {
  auto& list = interests();
  return std::find_if(list.begin(), list.end(),
                      [&](const Interest& i) { return i.epoll_fd == epoll_fd && i.fd == fd; });
}

short poll_bits(std::uint32_t events) {
  return static_cast<short>(events & (POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM));
}

/// Fills `events` with what is ready. Precondition: the guard is held.
int collect(int epoll_fd, epoll_event* events, int most) {
  int found = 0;
  for (Interest& i : interests()) {
    if (found == most) break;
    const std::uint32_t descriptor = descriptor_of(i.fd);
    if (i.epoll_fd != epoll_fd || i.disabled || descriptor == kNone) continue;
    const Descriptor& d = descriptor_at(descriptor);
    const short bits = evaluate(d, poll_bits(i.event.events));
    if (bits == 0) continue;
    const std::uint64_t now = signature(d);
    if ((i.event.events & EPOLLET) != 0 && i.seen == now) continue;
    i.seen = now;
    if ((i.event.events & EPOLLONESHOT) != 0) i.disabled = true;
    events[found].events = static_cast<std::uint16_t>(bits);
    events[found++].data = i.event.data;
  }
  return found;
}

/// Rings are armed; what else is to be watched goes into `items`.
void arm_all(int epoll_fd, std::vector<pollfd>* items) {
  const std::lock_guard lock(guard);
  for (const Interest& i : interests()) {
    const std::uint32_t descriptor = descriptor_of(i.fd);
    if (i.epoll_fd != epoll_fd || i.disabled || descriptor == kNone) continue;
    arm(descriptor_at(descriptor));
    watch_interface(descriptor_at(descriptor), poll_bits(i.event.events), items);
  }
}

int look_once(int epoll_fd, epoll_event* events, int most, LookAtEpoll look) {
  int found = 0;
  {
    const std::lock_guard lock(guard);
    found = collect(epoll_fd, events, most);
  }
  if (found == most) return found;
  const int others = look(epoll_fd, events + found, most - found);
  if (others < 0) return found != 0 ? found : others;
  return found + others;
}

std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000L + now.tv_nsec;
}

}  // namespace

bool has_interests(int epoll_fd) {
  if (count.load(std::memory_order_relaxed) == 0) return false;
  const std::lock_guard lock(guard);
  return std::any_of(interests().begin(), interests().end(),
                     [&](const Interest& i) { return i.epoll_fd == epoll_fd; });
}

int epoll_control(int epoll_fd, int operation, int fd, const epoll_event* event) {
  const std::lock_guard lock(guard);
  const auto known = find(epoll_fd, fd);
  const bool there = known != interests().end();
  if (operation == EPOLL_CTL_ADD) {
    if (there) return -EEXIST;
    if (event == nullptr) return -EFAULT;
    interests().push_back({epoll_fd, fd, *event, 0, false});
  } else if (!there) {
    return -ENOENT;
  } else if (operation == EPOLL_CTL_MOD) {
    if (event == nullptr) return -EFAULT;
    *known = {epoll_fd, fd, *event, 0, false};
  } else if (operation == EPOLL_CTL_DEL) {
    interests().erase(known);
  } else {
    return -EINVAL;
  }
  count.store(interests().size());
  return 0;
}

int epoll_wait(int epoll_fd, epoll_event* events, int most, std::int64_t nanoseconds,
               const sigset_t* mask, WaitOthers others, LookAtEpoll look) {
  if (most <= 0) return -EINVAL;
  const std::int64_t end = nanoseconds < 0 ? INT64_MAX : now_ns() + nanoseconds;
  for (;;) {
    int found = look_once(epoll_fd, events, most, look);
    if (found != 0 || nanoseconds == 0) return found;
    const bool bell = own_bell() != kNone;
    std::vector<pollfd> items = {{epoll_fd, POLLIN, 0}};
    if (bell) items.push_back({own_bell_fd(), POLLIN, 0});
    arm_all(epoll_fd, &items);
    found = look_once(epoll_fd, events, most, look);
    if (found != 0) return found;
    const std::int64_t now = now_ns();
    if (now >= end) return 0;
    tidy_up();
    constexpr std::int64_t kWithoutBell = 1'000'000;
    const std::int64_t left = nanoseconds < 0 ? -1 : end - now;
    const int woken = others(items.data(), items.size(), bell ? left : kWithoutBell, mask);
    if (bell) silence_own_bell();
    if (woken < 0) return woken;
  }
}

void forget_interests(int fd) {
  if (count.load(std::memory_order_relaxed) == 0) return;
  const std::lock_guard lock(guard);
  std::erase_if(interests(), [fd](const Interest& i) { return i.fd == fd || i.epoll_fd == fd; });
  count.store(interests().size());
}

}  // namespace ringway::netmap::hooks
