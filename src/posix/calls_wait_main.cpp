#undef _FORTIFY_SOURCE
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "netmap/hooks.h"
#include "posix/context.h"
#include "posix/epoll.h"
#include "posix/next.h"
#include "posix/waiting.h"

// The calls that wait for several descriptors.

using namespace ringway::posix;
using ringway::base::Instant;
namespace netmap = ringway::netmap::hooks;

namespace {

constexpr long kSecond = 1'000'000'000;
constexpr long kFarSeconds = 1L << 32;

/// What is left until `deadline`, as select(2) and ppoll's system call report it.
timespec time_left(Instant deadline) {
  const long ns = deadline.ns == 0 ? 0 : std::max(0L, (deadline - network()->now()).ns);
  return {ns / kSecond, ns % kSecond};
}

bool is_valid(const timespec* time) {
  return time == nullptr || (time->tv_sec >= 0 && time->tv_nsec >= 0 && time->tv_nsec < kSecond);
}

/// A time as netmap's waits take it: nanoseconds, negative for ever.
std::int64_t nanoseconds_of(const timespec* time) {
  if (time == nullptr) return -1;
  return time->tv_sec >= kFarSeconds ? -1 : time->tv_sec * kSecond + time->tv_nsec;
}
std::int64_t nanoseconds_of(int milliseconds) {
  return milliseconds < 0 ? -1 : std::int64_t{milliseconds} * 1'000'000;
}

/// What is not netmap's, for its waits.
int wait_for_others(pollfd* items, nfds_t count, std::int64_t nanoseconds, const sigset_t* mask) {
  const timespec time{nanoseconds / kSecond, nanoseconds % kSecond};
  const timespec* left = nanoseconds < 0 ? nullptr : &time;
  if (concerns_shim(items, count)) return wait_for(items, count, deadline_after(left), mask);
  const int outcome = libc::ppoll(items, count, left, mask);
  return outcome < 0 ? -errno : outcome;
}

int look_at_epoll(int epoll_fd, epoll_event* events, int most) {
  Epoll* e = fds.epoll(epoll_fd);
  if (e != nullptr) return wait_epoll(epoll_fd, *e, events, most, {0}, nullptr);
  const int outcome = libc::epoll_wait(epoll_fd, events, most, 0);
  return outcome < 0 ? -errno : outcome;
}

int wait_netmap_epoll(int epoll_fd, epoll_event* events, int most, std::int64_t nanoseconds,
                      const sigset_t* mask) {
  return result(netmap::epoll_wait(epoll_fd, events, most, nanoseconds, mask, &wait_for_others,
                                   &look_at_epoll));
}

/// An instance that has, or while a thread sleeps may get, stack sockets.
Epoll* watched(int epoll_fd) { return fds.epoll(epoll_fd); }

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

int poll(pollfd* items, nfds_t count, int timeout) {
  if (netmap::any_netmap(items, count)) {
    const std::int64_t time = nanoseconds_of(timeout);
    return result(ringway::netmap::wait_mixed(items, count, time, nullptr, &wait_for_others));
  }
  if (!concerns_shim(items, count)) return libc::poll(items, count, timeout);
  return result(wait_for(items, count, deadline_after(timeout), nullptr));
}
int __poll(pollfd* items, nfds_t count, int timeout) __attribute__((alias("poll")));

int ppoll(pollfd* items, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  if (netmap::any_netmap(items, count)) {
    if (!is_valid(timeout)) return result(-EINVAL);
    const std::int64_t time = nanoseconds_of(timeout);
    return result(ringway::netmap::wait_mixed(items, count, time, mask, &wait_for_others));
  }
  if (!concerns_shim(items, count)) return libc::ppoll(items, count, timeout, mask);
  if (!is_valid(timeout)) return result(-EINVAL);
  return result(wait_for(items, count, deadline_after(timeout), mask));
}

int __poll_chk(pollfd* items, nfds_t count, int timeout, size_t room) {
  if (room / sizeof(pollfd) < count) __builtin_trap();
  return poll(items, count, timeout);
}

int __ppoll_chk(pollfd* items, nfds_t count, const timespec* timeout, const sigset_t* mask,
                size_t room) {
  if (room / sizeof(pollfd) < count) __builtin_trap();
  return ppoll(items, count, timeout, mask);
}

int select(int count, fd_set* read, fd_set* write, fd_set* except, timeval* timeout) {
  if (netmap::any_netmap(count, read, write, except)) {
    const std::int64_t time =
        timeout == nullptr ? -1 : timeout->tv_sec * kSecond + timeout->tv_usec * 1000;
    return result(netmap::select(count, read, write, except, time, nullptr, &wait_for_others));
  }
  if (!concerns_shim(count, read, write, except)) {
    return libc::select(count, read, write, except, timeout);
  }
  timespec time{};
  if (timeout != nullptr) {
    if (timeout->tv_sec < 0 || timeout->tv_usec < 0) return result(-EINVAL);
    time = {timeout->tv_sec + timeout->tv_usec / 1'000'000, timeout->tv_usec % 1'000'000 * 1000};
  }
  const Instant deadline = deadline_after(timeout != nullptr ? &time : nullptr);
  const int outcome = wait_for(count, read, write, except, deadline, nullptr);
  if (timeout != nullptr) {
    const timespec left = time_left(deadline);
    *timeout = {left.tv_sec, left.tv_nsec / 1000};
  }
  return result(outcome);
}
int __select(int count, fd_set* read, fd_set* write, fd_set* except, timeval* timeout)
    __attribute__((alias("select")));

int pselect(int count, fd_set* read, fd_set* write, fd_set* except, const timespec* timeout,
            const sigset_t* mask) {
  if (netmap::any_netmap(count, read, write, except)) {
    if (!is_valid(timeout)) return result(-EINVAL);
    return result(netmap::select(count, read, write, except, nanoseconds_of(timeout), mask,
                                 &wait_for_others));
  }
  if (!concerns_shim(count, read, write, except)) {
    return libc::pselect(count, read, write, except, timeout, mask);
  }
  if (!is_valid(timeout)) return result(-EINVAL);
  return result(wait_for(count, read, write, except, deadline_after(timeout), mask));
}

int epoll_create(int size) noexcept { return result(size <= 0 ? -EINVAL : create_epoll(0)); }

int epoll_create1(int flags) noexcept { return result(create_epoll(flags)); }

int epoll_ctl(int epoll_fd, int op, int fd, epoll_event* event) noexcept {
  if (netmap::is_netmap(fd)) return result(netmap::epoll_control(epoll_fd, op, fd, event));
  return result(control_epoll(epoll_fd, op, fd, event));
}

int epoll_wait(int epoll_fd, epoll_event* events, int most, int timeout) {
  if (netmap::has_interests(epoll_fd)) {
    return wait_netmap_epoll(epoll_fd, events, most, nanoseconds_of(timeout), nullptr);
  }
  Epoll* e = watched(epoll_fd);
  if (e == nullptr) return libc::epoll_wait(epoll_fd, events, most, timeout);
  return result(wait_epoll(epoll_fd, *e, events, most, deadline_after(timeout), nullptr));
}

int epoll_pwait(int epoll_fd, epoll_event* events, int most, int timeout, const sigset_t* mask) {
  if (netmap::has_interests(epoll_fd)) {
    return wait_netmap_epoll(epoll_fd, events, most, nanoseconds_of(timeout), mask);
  }
  Epoll* e = watched(epoll_fd);
  if (e == nullptr) return libc::epoll_pwait(epoll_fd, events, most, timeout, mask);
  return result(wait_epoll(epoll_fd, *e, events, most, deadline_after(timeout), mask));
}

int epoll_pwait2(int epoll_fd, epoll_event* events, int most, const timespec* timeout,
                 const sigset_t* mask) {
  if (netmap::has_interests(epoll_fd)) {
    if (!is_valid(timeout)) return result(-EINVAL);
    return wait_netmap_epoll(epoll_fd, events, most, nanoseconds_of(timeout), mask);
  }
  Epoll* e = watched(epoll_fd);
  if (e == nullptr) return libc::epoll_pwait2(epoll_fd, events, most, timeout, mask);
  if (!is_valid(timeout)) return result(-EINVAL);
  return result(wait_epoll(epoll_fd, *e, events, most, deadline_after(timeout), mask));
}

}  // extern "C"
#pragma GCC visibility pop
