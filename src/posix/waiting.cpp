#include "posix/waiting.h"

#include <time.h>

#include <algorithm>
#include <memory>
#include <span>

#include "posix/context.h"
#include "posix/epoll.h"
#include "posix/fd_table.h"

namespace ringway::posix {
namespace {

constexpr base::Duration kEpollLook = base::Duration::milliseconds(1);
constexpr std::size_t kFewItems = 64;

/// Room for n of T without the heap if they are few.
template <typename T>
class Few {
 public:
  explicit Few(std::size_t n) {
    if (n > kFewItems) many_ = std::make_unique<T[]>(n);
  }
  T& operator[](std::size_t i) { return data()[i]; }
  T* data() { return many_ != nullptr ? many_.get() : few_; }

 private:
  T few_[kFewItems]{};
  std::unique_ptr<T[]> many_;
};

constexpr short kReadBits = POLLIN | POLLRDNORM;
constexpr short kWriteBits = POLLOUT | POLLWRNORM;

/// poll's bits and epoll's are the same numbers; a stack speaks of IN and OUT only.
std::uint32_t to_epoll(short events) {
  std::uint32_t bits = static_cast<std::uint16_t>(events);
  if ((events & kReadBits) != 0) bits |= EPOLLIN;
  if ((events & kWriteBits) != 0) bits |= EPOLLOUT;
  return bits;
}

short to_poll(std::uint32_t bits, short wanted) {
  unsigned both = bits;
  if ((bits & EPOLLIN) != 0) both |= POLLRDNORM;
  if ((bits & EPOLLOUT) != 0) both |= POLLWRNORM;
  return static_cast<short>(both & (static_cast<unsigned>(wanted) | POLLERR | POLLHUP));
}

/// The items of one poll(), sorted by who knows about them.
class Mixed {
 public:
  Mixed(pollfd* items, std::size_t count)
      : items_(items, count), stack_(count), kernel_(count), place_(count) {
    for (std::size_t i = 0; i < count; ++i) add(i);
  }
  bool has_epolls() const { return epolls_ != 0; }

  /// One wait; the count of ready items, 0 at the deadline, -errno.
  int wait(base::Instant deadline, const sigset_t* mask) {
    const int woken =
        network()->wait({stack_.data(), stacks_}, {kernel_.data(), kernels_}, deadline, mask);
    if (woken < 0) return woken;
    int ready = 0;
    for (std::size_t i = 0; i < items_.size(); ++i) ready += fill(i) ? 1 : 0;
    return ready;
  }

 private:
  /// place_: >= 0 a stack item, < 0 a kernel item (-1 - index).
  void add(std::size_t i) {
    const pollfd& item = items_[i];
    Description* d = fds.socket(item.fd);
    if (d != nullptr) {
      place_[i] = static_cast<int>(stacks_);
      stack_[stacks_++] = {d->id(), to_epoll(item.events), 0};
      return;
    }
    Epoll* e = fds.epoll(item.fd);
    if (e != nullptr && e->set.load(std::memory_order_acquire) != 0) ++epolls_;
    place_[i] = -1 - static_cast<int>(kernels_);
    kernel_[kernels_++] = {item.fd, item.events, 0};
  }
  bool fill(std::size_t i) {
    pollfd& item = items_[i];
    const int place = place_[i];
    if (place >= 0) {
      item.revents = to_poll(stack_[static_cast<std::size_t>(place)].revents, item.events);
      return item.revents != 0;
    }
    item.revents = kernel_[static_cast<std::size_t>(-1 - place)].revents;
    Epoll* e = epolls_ != 0 && (item.events & kReadBits) != 0 ? fds.epoll(item.fd) : nullptr;
    if (e != nullptr && epoll_is_ready(*e)) {
      item.revents = static_cast<short>(item.revents | (item.events & kReadBits));
    }
    return item.revents != 0;
  }

  std::span<pollfd> items_;
  Few<runtime::WaitItem> stack_;
  Few<pollfd> kernel_;
  Few<int> place_;
  std::size_t stacks_ = 0;
  std::size_t kernels_ = 0;
  std::size_t epolls_ = 0;
};

}  // namespace

bool concerns_shim(pollfd* items, nfds_t count) {
  if (!fds.any() || network() == nullptr) return false;
  return std::any_of(items, items + count,
                     [](const pollfd& p) { return fds.find(p.fd).kind != FdKind::kOther; });
}

int wait_for(pollfd* items, nfds_t count, base::Instant deadline, const sigset_t* mask) {
  Mixed mixed(items, count);
  runtime::Runtime& runtime = *network();
  while (true) {
    // Epoll fds with stack sockets cannot be slept on together with others: they are looked at.
    const base::Instant until =
        mixed.has_epolls() ? std::min(deadline, runtime.now() + kEpollLook) : deadline;
    const int ready = mixed.wait(until, mask);
    if (ready != 0) return ready;
    if (!deadline.is_never() && (deadline.ns == 0 || runtime.now() >= deadline)) return 0;
  }
}

bool concerns_shim(int count, const fd_set* read, const fd_set* write, const fd_set* except) {
  if (!fds.any() || network() == nullptr) return false;
  constexpr int kBits = static_cast<int>(sizeof(__fd_mask)) * 8;
  const auto word = [](const fd_set* set, int i) {
    return set != nullptr ? __FDS_BITS(set)[i] : 0;
  };
  const int end = std::min(count, fds.limit());
  for (int i = 0; i * kBits < end; ++i) {
    auto bits = static_cast<unsigned long>(word(read, i) | word(write, i) | word(except, i));
    for (; bits != 0; bits &= bits - 1) {
      const int fd = i * kBits + __builtin_ctzl(bits);
      if (fd < end && fds.find(fd).kind != FdKind::kOther) return true;
    }
  }
  return false;
}

namespace {

// FD_ISSET of a program built with a larger FD_SETSIZE: no bound is checked.
bool is_in(const fd_set* set, int fd) {
  return set != nullptr && (__FDS_BITS(set)[__FD_ELT(fd)] & __FD_MASK(fd)) != 0;
}

void keep_if(fd_set* set, int fd, bool on) {
  if (set == nullptr || on) return;
  __FDS_BITS(set)[__FD_ELT(fd)] &= ~__FD_MASK(fd);
}

}  // namespace

int wait_for(int count, fd_set* read, fd_set* write, fd_set* except, base::Instant deadline,
             const sigset_t* mask) {
  const auto asked = [&](int fd) {
    return is_in(read, fd) || is_in(write, fd) || is_in(except, fd);
  };
  std::size_t used = 0;
  for (int fd = 0; fd < count; ++fd) used += asked(fd) ? 1 : 0;
  Few<pollfd> items(used);
  std::size_t n = 0;
  for (int fd = 0; fd < count; ++fd) {
    if (!asked(fd)) continue;
    int events = is_in(read, fd) ? POLLIN : 0;
    if (is_in(write, fd)) events |= POLLOUT;
    if (is_in(except, fd)) events |= POLLPRI;
    items[n++] = {fd, static_cast<short>(events), 0};
  }
  const int woken = wait_for(items.data(), n, deadline, mask);
  if (woken < 0) return woken;
  int bits = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const pollfd& item = items[i];
    if ((item.revents & POLLNVAL) != 0) return -EBADF;
    // The kernel's select: an error is both, a hang-up is readable.
    const bool can_read =
        is_in(read, item.fd) && (item.revents & (POLLIN | POLLHUP | POLLERR)) != 0;
    const bool can_write = is_in(write, item.fd) && (item.revents & (POLLOUT | POLLERR)) != 0;
    const bool urgent = is_in(except, item.fd) && (item.revents & POLLPRI) != 0;
    keep_if(read, item.fd, can_read);
    keep_if(write, item.fd, can_write);
    keep_if(except, item.fd, urgent);
    bits += (can_read ? 1 : 0) + (can_write ? 1 : 0) + (urgent ? 1 : 0);
  }
  return bits;
}

base::Instant deadline_after(const timespec* time) {
  if (time == nullptr) return base::Instant::never();
  constexpr std::int64_t kSecond = 1'000'000'000;
  constexpr std::int64_t kFar = INT64_MAX / kSecond / 2;
  if (time->tv_sec == 0 && time->tv_nsec == 0) return {0};
  if (time->tv_sec >= kFar) return base::Instant::never();
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return {(now.tv_sec + time->tv_sec) * kSecond + now.tv_nsec + time->tv_nsec};
}

base::Instant deadline_after(int milliseconds) {
  if (milliseconds < 0) return base::Instant::never();
  const timespec time{milliseconds / 1000, milliseconds % 1000 * 1'000'000};
  return deadline_after(&time);
}

}  // namespace ringway::posix
