#include "posix/epoll.h"

#include <fcntl.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include "base/sys.h"
#include "posix/context.h"
#include "posix/next.h"
#include "posix/stack_socket.h"

namespace ringway::posix {
namespace {

namespace sys = base::sys;
using runtime::SetId;

constexpr base::Duration kKernelLook = base::Duration::microseconds(50);
constexpr base::Duration kNestedLook = base::Duration::milliseconds(1);

/// One interest that the shim itself must know of: of a socket that may be demoted, or of an epoll
/// fd inside an epoll fd.
struct Interest {
  int epoll_fd = -1;
  std::uint32_t epoll = 0;  ///< index
  int fd = -1;
  FdEntry entry;
  epoll_event event{};
};

struct Interests {
  std::mutex mutex;
  std::vector<Interest> all;
};

Interests& interests() {
  static Interests* const interests = new Interests;  // used until the very end of a process
  return *interests;
}

std::uint32_t index_of(const Epoll& e) { return static_cast<std::uint32_t>(&e - &fds.epoll_at(0)); }

void note(int op, int epoll_fd, const Epoll& e, int fd, FdEntry entry, const epoll_event& event) {
  Interests& known = interests();
  const std::lock_guard lock(known.mutex);
  const auto same = [&](const Interest& i) { return i.epoll == index_of(e) && i.fd == fd; };
  const auto at = std::find_if(known.all.begin(), known.all.end(), same);
  if (op == EPOLL_CTL_DEL) {
    if (at != known.all.end()) known.all.erase(at);
  } else if (at != known.all.end()) {
    at->event = event;
  } else if (op == EPOLL_CTL_ADD) {
    known.all.push_back({epoll_fd, index_of(e), fd, entry, event});
  }
}

std::atomic<int> g_bell{-1};
// No program's data: the address of something of the shim's own.
const int g_bell_tag = 0;

/// An eventfd that is always readable, for waking threads that sleep in the kernel's epoll_wait()
/// when the first stack socket comes to their instance.
int bell() {
  const int known = g_bell.load(std::memory_order_acquire);
  if (known >= 0) return known;
  const int low = sys::eventfd(1, O_CLOEXEC);
  constexpr long kOutOfTheWay = 700;
  const int high = sys::fcntl(low, F_DUPFD_CLOEXEC, kOutOfTheWay);
  const int fresh = high < 0 ? low : high;
  if (high >= 0) sys::close(low);
  int expected = -1;
  if (g_bell.compare_exchange_strong(expected, fresh)) return fresh;
  sys::close(fresh);
  return expected;
}

void ring(int epoll_fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = reinterpret_cast<std::uintptr_t>(&g_bell_tag);
  sys::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, bell(), &event);
}

/// Takes the bell's events out.
int without_bell(epoll_event* events, int n) {
  const auto is_bell = [](const epoll_event& event) {
    return event.data.u64 == reinterpret_cast<std::uintptr_t>(&g_bell_tag);
  };
  return static_cast<int>(std::remove_if(events, events + std::max(n, 0), is_bell) - events);
}

/// The set of an instance, made when its first stack socket comes.
SetId set_of(int epoll_fd, Epoll& e) {
  std::uint32_t known = e.set.load(std::memory_order_acquire);
  if (known != 0) return {known};
  const SetId fresh = network()->set_create();
  if (!fresh.valid()) return {};
  if (!e.set.compare_exchange_strong(known, fresh.value)) {
    network()->set_destroy(fresh);
    return {known};
  }
  if (e.waiters.load() != 0) ring(epoll_fd);
  return fresh;
}

/// An epoll fd that came from elsewhere (before the shim, or over exec) joins the table.
Epoll* adopt(int epoll_fd) {
  epoll_event event{};
  // Linux: ENOENT from an epoll fd that does not know the other, EINVAL or EBADF from others.
  const int probe = sys::epoll_ctl(epoll_fd, EPOLL_CTL_DEL, bell(), &event);
  if (probe == 0 || errno != ENOENT) return nullptr;
  const std::uint32_t index = fds.new_epoll();
  if (index == 0 || !fds.put(epoll_fd, {FdKind::kEpoll, index})) return nullptr;
  fds.epoll_at(index).kernel_fds.store(1);  // unknown: better looked at than not
  return &fds.epoll_at(index);
}

int control_socket(int epoll_fd, int op, int fd, Description& d, const epoll_event& event) {
  Epoll* e = fds.epoll(epoll_fd);
  if (e == nullptr) e = adopt(epoll_fd);
  if (e == nullptr) return sys::fcntl(epoll_fd, F_GETFD) < 0 ? -EBADF : -EINVAL;
  const SetId set = set_of(epoll_fd, *e);
  if (!set.valid()) return -ENOMEM;
  const int outcome = network()->set_control(set, op, d.id(), fd, event);
  if (outcome < 0) return outcome;
  if (op == EPOLL_CTL_ADD && !d.has(Description::kActive)) d.set(Description::kInEpoll);
  if (d.has(Description::kInEpoll)) {
    note(op, epoll_fd, *e, fd, {FdKind::kSocket, fds.index_of(d)}, event);
  }
  return 0;
}

/// Events of epoll fds inside this one, level-triggered.
int collect_nested(Epoll& e, epoll_event* events, int most) {
  if (e.nested.load(std::memory_order_relaxed) == 0) return 0;
  std::vector<Interest> inner;
  {
    const std::lock_guard lock(interests().mutex);
    for (const Interest& i : interests().all) {
      if (i.epoll == index_of(e) && i.entry.kind == FdKind::kEpoll) inner.push_back(i);
    }
  }
  int n = 0;
  for (const Interest& i : inner) {
    if (n == most || (i.event.events & EPOLLIN) == 0) continue;
    if (!epoll_is_ready(fds.epoll_at(i.entry.index))) continue;
    events[n] = i.event;
    events[n++].events = EPOLLIN;
  }
  return n;
}

int look_at_kernel(int epoll_fd, epoll_event* events, int most) {
  return without_bell(events, sys::epoll_wait(epoll_fd, events, most, 0));
}

/// What is ready now, from both worlds. Neither starves the other: the kernel's part comes first
/// when its time has come, but takes half of the room at most; where that is all of it, the next
/// call is the sockets'.
int collect(int epoll_fd, Epoll& e, epoll_event* events, int most) {
  runtime::Runtime& runtime = *network();
  int n = 0;
  if (e.kernel_fds.load(std::memory_order_relaxed) != 0) {
    const std::int64_t now = runtime.now().ns;
    const bool due = now - e.kernel_seen_ns.load(std::memory_order_relaxed) >= kKernelLook.ns;
    if (due && !e.kernel_filled.exchange(false, std::memory_order_relaxed)) {
      e.kernel_seen_ns.store(now, std::memory_order_relaxed);
      n = look_at_kernel(epoll_fd, events, std::max(1, most / 2));
      e.kernel_filled.store(n == most, std::memory_order_relaxed);
    }
  }
  n += collect_nested(e, events + n, most - n);
  const SetId set{e.set.load(std::memory_order_acquire)};
  if (n == most || !set.valid()) return n;
  const int taken = runtime.set_collect(set, {events + n, static_cast<std::size_t>(most - n)});
  return taken < 0 ? (n > 0 ? n : taken) : n + taken;
}

/// Waits in the kernel, as long as the instance has no stack socket. -EAGAIN: now it has one.
int wait_in_kernel(int epoll_fd, Epoll& e, epoll_event* events, int most, base::Instant deadline,
                   const sigset_t* mask) {
  timespec left{};
  if (!deadline.is_never() && deadline.ns != 0) {
    const runtime::Runtime* joined = network();
    timespec now{};
    if (joined == nullptr) clock_gettime(CLOCK_MONOTONIC, &now);
    const std::int64_t now_ns =
        joined != nullptr ? joined->now().ns : now.tv_sec * 1'000'000'000 + now.tv_nsec;
    const std::int64_t ns = std::max<std::int64_t>(deadline.ns - now_ns, 0);
    left = {ns / 1'000'000'000, ns % 1'000'000'000};
  }
  e.waiters.fetch_add(1);
  int n = 0;
  int error = 0;
  if (e.set.load() == 0) {
    // libc's function and not the bare call: it is a cancellation point.
    n = libc::epoll_pwait2(epoll_fd, events, most, deadline.is_never() ? nullptr : &left, mask);
    error = n < 0 ? -errno : 0;
  }
  const bool last = e.waiters.fetch_sub(1) == 1;
  if (e.set.load() == 0) return error < 0 ? error : n;
  epoll_event none{};
  if (last) sys::epoll_ctl(epoll_fd, EPOLL_CTL_DEL, bell(), &none);
  n = without_bell(events, n);
  return n == 0 ? (error < 0 ? error : -EAGAIN) : n;
}

}  // namespace

bool is_bell(int fd) { return fd == g_bell.load(std::memory_order_relaxed); }

int create_epoll(int flags) {
  const int fd = libc::epoll_create1(flags);
  if (fd < 0) return -errno;
  // Beyond the table an instance is the kernel's alone.
  const std::uint32_t index = fds.new_epoll();
  if (index != 0 && !fds.put(fd, {FdKind::kEpoll, index})) fds.recycle({FdKind::kEpoll, index});
  return fd;
}

int control_epoll(int epoll_fd, int op, int fd, epoll_event* event) {
  if (Description* d = fds.socket(fd)) {
    if (event == nullptr && op != EPOLL_CTL_DEL) return -EFAULT;
    return control_socket(epoll_fd, op, fd, *d, event != nullptr ? *event : epoll_event{});
  }
  if (libc::epoll_ctl(epoll_fd, op, fd, event) != 0) return -errno;
  Epoll* e = fds.epoll(epoll_fd);
  if (e == nullptr) return 0;
  if (op == EPOLL_CTL_ADD) e->kernel_fds.fetch_add(1, std::memory_order_relaxed);
  if (op == EPOLL_CTL_DEL && e->kernel_fds.load(std::memory_order_relaxed) != 0) {
    e->kernel_fds.fetch_sub(1, std::memory_order_relaxed);
  }
  const FdEntry inner = fds.find(fd);
  if (inner.kind == FdKind::kEpoll) {
    if (op == EPOLL_CTL_ADD) e->nested.fetch_add(1, std::memory_order_relaxed);
    note(op, epoll_fd, *e, fd, inner, event != nullptr ? *event : epoll_event{});
  }
  return 0;
}

int wait_epoll(int epoll_fd, Epoll& e, epoll_event* events, int most, base::Instant deadline,
               const sigset_t* mask) {
  if (most <= 0) return -EINVAL;
  const bool nested = e.nested.load(std::memory_order_relaxed) != 0 && network() != nullptr;
  if (e.set.load(std::memory_order_acquire) == 0 && !nested) {
    const int n = wait_in_kernel(epoll_fd, e, events, most, deadline, mask);
    if (n != -EAGAIN) return n;
  }
  runtime::Runtime& runtime = *network();
  const SetId set{e.set.load(std::memory_order_acquire)};
  while (true) {
    const int ready = collect(epoll_fd, e, events, most);
    if (ready != 0) return ready;
    pollfd kernel{epoll_fd, POLLIN, 0};
    const base::Instant look = nested ? runtime.now() + kNestedLook : base::Instant::never();
    const base::Instant until = std::min(deadline, look);
    const int woken = set.valid() && deadline.ns != 0
                          ? runtime.set_wait(set, {events, static_cast<std::size_t>(most)},
                                             {&kernel, 1}, until, mask)
                          : runtime.wait({}, {&kernel, 1}, until, mask);
    if (woken < 0 || (set.valid() && woken > 0 && deadline.ns != 0)) return woken;
    if (kernel.revents != 0) {
      const int n = look_at_kernel(epoll_fd, events, most);
      if (n > 0) return n;
    }
    if (!deadline.is_never() && runtime.now() >= deadline) return 0;
  }
}

bool epoll_is_ready(Epoll& e) {
  const SetId set{e.set.load(std::memory_order_acquire)};
  return set.valid() && network()->set_ready(set);
}

void close_epoll(Epoll& e) {
  const SetId set{e.set.load(std::memory_order_acquire)};
  if (set.valid()) network()->set_destroy(set);
  Interests& known = interests();
  const std::lock_guard lock(known.mutex);
  std::erase_if(known.all, [&](const Interest& i) {
    return i.epoll == index_of(e) ||
           (i.entry.kind == FdKind::kEpoll && i.entry.index == index_of(e));
  });
}

namespace {

std::vector<Interest> take_interests(const Description& d) {
  Interests& known = interests();
  const std::uint32_t index = fds.index_of(d);
  const auto of_socket = [&](const Interest& i) {
    return i.entry.kind == FdKind::kSocket && i.entry.index == index;
  };
  std::vector<Interest> taken;
  const std::lock_guard lock(known.mutex);
  std::copy_if(known.all.begin(), known.all.end(), std::back_inserter(taken), of_socket);
  std::erase_if(known.all, of_socket);
  return taken;
}

}  // namespace

void forget_interests(Description& d) { take_interests(d); }

void move_interests(Description& d) {
  for (Interest& i : take_interests(d)) {
    Epoll& e = fds.epoll_at(i.epoll);
    network()->set_control({e.set.load()}, EPOLL_CTL_DEL, d.id(), i.fd, i.event);
    if (libc::epoll_ctl(i.epoll_fd, EPOLL_CTL_ADD, i.fd, &i.event) == 0) {
      e.kernel_fds.fetch_add(1, std::memory_order_relaxed);
    }
  }
}

void lock_interests() { interests().mutex.lock(); }
void unlock_interests() { interests().mutex.unlock(); }

}  // namespace ringway::posix
