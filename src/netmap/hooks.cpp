#include "netmap/hooks.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "base/sys.h"
#include "netmap/binding.h"
#include "netmap/ports.h"
#include "netmap/request.h"
#include "netmap/sync.h"

namespace ringway::netmap::hooks {
namespace {

namespace sys = base::sys;

void report(const std::string& what) {
  const std::string line = "ringway: " + what + "\n";
  sys::write(2, line.data(), line.size());
}

int sync(const Descriptor& d, bool tx) {
  if (d.state.load(std::memory_order_acquire) != State::kBound) return -ENXIO;
  if (d.csb.load() != 0) return -EBUSY;
  if (registry()->ports[d.port].up.load() == 0) return -EIO;
  if (tx) {
    for (std::uint32_t i = d.tx_first; i < d.tx_last; ++i) sync_tx(kring_of(d, true, i));
  } else {
    for (std::uint32_t i = d.rx_first; i < d.rx_last; ++i) sync_rx(kring_of(d, false, i), true);
  }
  return 0;
}

bool is_general(std::uint32_t request) {
  return request == FIONBIO || request == FIOCLEX || request == FIONCLEX || request == FIOASYNC;
}

}  // namespace

bool is_device(const char* path) {
  return path != nullptr && path[0] == '/' && std::strcmp(path, abi::kDevice) == 0;
}

int open_device(int flags) {
  if (auto attached = attach(); !attached) {
    report(attached.error().what);
    return attached.error().os_errno == 0 ? -EIO : -attached.error().os_errno;
  }
  std::uint32_t descriptor = kNone;
  const ControlLock lock;
  release_dead();
  descriptor = new_descriptor();
  if (descriptor == kNone) return -EMFILE;
  const int fd = make_descriptor_fd(descriptor, flags);
  if (fd < 0) release(descriptor);
  return fd;
}

int close_fd(int fd) {
  const std::uint32_t descriptor = descriptor_of(fd);
  forget_interests(fd);
  forget(fd);
  const int result = sys::close(fd);
  const int error = errno;
  if (descriptor != kNone) closed(descriptor);
  return result < 0 ? -error : 0;
}

void duplicated(int from, int to) {
  if (!active() || from == to) return;
  const std::uint32_t before = descriptor_of(to);
  const std::uint32_t now = descriptor_of(from);
  if (before == now) return;
  const int saved = errno;
  if (before != kNone) forget_interests(to);
  if (now == kNone) {
    forget(to);
  } else {
    remember(to, now);
  }
  if (before != kNone) closed(before);
  errno = saved;
}

void review(unsigned first, unsigned last) {
  if (!active()) return;
  const int saved = errno;
  const auto end = static_cast<unsigned>(fd_limit.load());
  for (unsigned fd = first; fd < end && fd <= last; ++fd) {
    const std::uint32_t descriptor = descriptor_of(static_cast<int>(fd));
    if (descriptor == kNone || sys::fcntl(static_cast<int>(fd), F_GETFD) >= 0) continue;
    forget_interests(static_cast<int>(fd));
    forget(static_cast<int>(fd));
    closed(descriptor);
  }
  errno = saved;
}

bool takes_ioctl(int fd, unsigned long request) {
  if (is_netmap(fd)) return true;
  switch (static_cast<std::uint32_t>(request)) {
    case abi::kGetInfo:
    case abi::kRegister:
    case abi::kTxSync:
    case abi::kRxSync:
    case abi::kConfig:
    case abi::kControl:
      return adopt(fd) != kNone;
    default:
      return false;
  }
}

int ioctl(int fd, unsigned long request, void* argument) {
  const std::uint32_t descriptor = descriptor_of(fd);
  const auto address = reinterpret_cast<std::uint64_t>(argument);
  const auto number = static_cast<std::uint32_t>(request);
  switch (number) {
    case abi::kTxSync:
      return sync(descriptor_at(descriptor), true);
    case abi::kRxSync:
      return sync(descriptor_at(descriptor), false);
    case abi::kControl:
      return control_request(descriptor, address);
    case abi::kRegister:
    case abi::kGetInfo:
      return legacy_request(descriptor, number == abi::kRegister, address);
    case abi::kConfig:
      return -EINVAL;
    default:
      break;
  }
  if (!is_general(number)) return -EOPNOTSUPP;
  return sys::ioctl(fd, request, argument) < 0 ? -errno : 0;
}

bool takes_mmap(int fd) { return fd >= 0 && (is_netmap(fd) || adopt(fd) != kNone); }

void* mmap(void* where, std::size_t bytes, int protection, int flags, int fd, off_t offset) {
  const Descriptor& d = descriptor_at(descriptor_of(fd));
  errno = EINVAL;
  if (d.state.load(std::memory_order_acquire) != State::kBound) return MAP_FAILED;
  const std::uint32_t allocator = registry()->ports[d.port].allocator;
  if (allocator == kNone) return MAP_FAILED;
  const std::uint64_t size = registry()->allocators[allocator].bytes;
  if (offset < 0 || static_cast<std::uint64_t>(offset) > size ||
      bytes > size - static_cast<std::uint64_t>(offset)) {
    return MAP_FAILED;
  }
  return map_file(where, bytes, protection, flags,
                  span_of(allocator) + static_cast<std::uint64_t>(offset));
}

void received(const msghdr& message) {
  auto* head = const_cast<msghdr*>(&message);
  for (cmsghdr* c = CMSG_FIRSTHDR(head); c != nullptr; c = CMSG_NXTHDR(head, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      forget(fd);
      adopt(fd);
    }
  }
}

namespace {

bool is_in(const fd_set* set, int fd) {
  return set != nullptr && (__FDS_BITS(set)[__FD_ELT(fd)] & __FD_MASK(fd)) != 0;
}

void keep_if(fd_set* set, int fd, bool on) {
  if (set != nullptr && !on) __FDS_BITS(set)[__FD_ELT(fd)] &= ~__FD_MASK(fd);
}

}  // namespace

bool any_netmap(int count, const fd_set* read, const fd_set* write, const fd_set* except) {
  if (!active()) return false;
  const int end = std::min(count, fd_limit.load());
  for (int fd = 0; fd < end; ++fd) {
    if (descriptor_of(fd) == kNone) continue;
    if (is_in(read, fd) || is_in(write, fd) || is_in(except, fd)) return true;
  }
  return false;
}

int select(int count, fd_set* read, fd_set* write, fd_set* except, std::int64_t nanoseconds,
           const sigset_t* mask, WaitOthers others) {
  std::vector<pollfd> items;
  for (int fd = 0; fd < count; ++fd) {
    int events = is_in(read, fd) ? POLLIN : 0;
    if (is_in(write, fd)) events |= POLLOUT;
    if (is_in(except, fd)) events |= POLLPRI;
    if (events != 0) items.push_back({fd, static_cast<short>(events), 0});
  }
  const int woken = wait_mixed(items.data(), items.size(), nanoseconds, mask, others);
  if (woken < 0) return woken;
  int bits = 0;
  for (const pollfd& item : items) {
    if ((item.revents & POLLNVAL) != 0) return -EBADF;
    // An error is both, a hang-up is readable.
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

}  // namespace ringway::netmap::hooks
