#include <fcntl.h>

#include "base/sys.h"
#include "posix/context.h"
#include "posix/epoll.h"
#include "posix/next.h"
#include "posix/sockaddr.h"
#include "posix/stack_socket.h"

namespace ringway::posix {
namespace {

namespace sys = base::sys;

/// A kernel socket set up as the description is. -errno.
int kernel_twin(Description& d) {
  const int domain = d.domain.load(std::memory_order_relaxed);
  const int type = d.type.load(std::memory_order_relaxed);
  const int fd = libc::socket(domain, type | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (const OptionLog* log = d.log.load(std::memory_order_acquire)) {
    for (const OptionLog::Entry& option : log->entries()) {
      libc::setsockopt(fd, option.level, option.name, option.value.data(), option.length);
    }
  }
  if (d.has(Description::kNonBlocking)) sys::fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
  base::Endpoint local;
  if (!d.has(Description::kBound) || network()->local_endpoint(d.id(), &local) < 0) return fd;
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  write_address(domain, local, reinterpret_cast<sockaddr*>(&address), &length);
  if (libc::bind(fd, reinterpret_cast<sockaddr*>(&address), length) == 0) return fd;
  const int failure = -errno;
  sys::close(fd);
  return failure;
}

/// The kernel's socket takes the number over in one step: it is never free in between.
bool replace(int fd, int twin, FdEntry entry) {
  const int flags = sys::fcntl(fd, F_GETFD);
  const FdEntry was = fds.remove(fd);
  if (was.kind != entry.kind || was.index != entry.index) {
    if (was.kind != FdKind::kOther) fds.put(fd, was);
    return false;
  }
  sys::dup3(twin, fd, flags > 0 && (flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0);
  return true;
}

}  // namespace

int demote(int fd, Description& d) {
  const FdEntry entry{FdKind::kSocket, fds.index_of(d)};
  const int twin = kernel_twin(d);
  if (twin < 0) return twin;
  const bool shared = d.references.load(std::memory_order_relaxed) > 1;
  int replaced = replace(fd, twin, entry) ? 1 : 0;
  for (int other = 0; shared && other < fds.limit(); ++other) {
    if (fds.socket(other) == &d && replace(other, twin, entry)) ++replaced;
  }
  if (d.has(Description::kInEpoll)) move_interests(d);
  for (; replaced > 0; --replaced) let_go(entry);
  sys::close(twin);
  return 0;
}

}  // namespace ringway::posix
