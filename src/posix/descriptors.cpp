#include "posix/descriptors.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/sys.h"
#include "posix/context.h"
#include "posix/next.h"
#include "posix/stack_socket.h"
#include "posix/transfer.h"

namespace ringway::posix {
namespace {

namespace sys = base::sys;

int argument_of(void* argument) { return static_cast<int>(reinterpret_cast<long>(argument)); }

void close_one(int fd, int flags) {
  if (is_internal(fd)) return;
  if ((flags & CLOSE_RANGE_CLOEXEC) != 0) {
    sys::fcntl(fd, F_SETFD, FD_CLOEXEC);
  } else if (fds.find(fd).kind != FdKind::kOther) {
    close_known(fd);
  } else {
    sys::close(fd);
  }
}

/// Calls `f` with every open fd of this process, without the heap and without libc: a child of a
/// process with threads may call it. False if the list cannot be read.
template <typename F>
bool for_each_open_fd(F f) {
  struct Entry {  // linux_dirent64
    std::uint64_t inode;
    std::int64_t offset;
    std::uint16_t length;
    std::uint8_t type;
    char name[1];
  };
  const long directory = sys::raw(SYS_open, reinterpret_cast<long>("/proc/self/fd"),
                                  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return false;
  alignas(Entry) char buffer[4096];
  long got = 0;
  while ((got = sys::raw(SYS_getdents64, directory, reinterpret_cast<long>(buffer),
                         sizeof buffer)) > 0) {
    for (long at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const Entry*>(buffer + at);
      const char* name = buffer + at + offsetof(Entry, name);
      at += entry->length;
      int fd = -1;
      std::from_chars(name, name + std::strlen(name), fd);
      if (fd >= 0 && fd != static_cast<int>(directory)) f(fd);
    }
  }
  sys::close(static_cast<int>(directory));
  return got == 0;
}

}  // namespace

int close_known(int fd) {
  const FdEntry entry = fds.remove(fd);  // first: once closed, the number may be another's
  const int outcome = sys::close(fd) < 0 ? -errno : 0;
  let_go(entry);
  return outcome;
}

int close_between(unsigned first, unsigned last, int flags) {
  if (first > last || (flags & ~(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE)) != 0) return -EINVAL;
  if (!fds.any() && network() == nullptr) {
    return libc::close_range(first, last, flags) < 0 ? -errno : 0;
  }
  if ((flags & CLOSE_RANGE_UNSHARE) != 0 && unshare(CLONE_FILES) != 0) return -errno;
  const bool listed = for_each_open_fd([&](int fd) {
    if (static_cast<unsigned>(fd) >= first && static_cast<unsigned>(fd) <= last) {
      close_one(fd, flags);
    }
  });
  if (listed) return 0;
  const long most = std::max(sysconf(_SC_OPEN_MAX), static_cast<long>(fds.limit()));
  for (long fd = first; fd <= std::min(static_cast<long>(last), most); ++fd) {
    close_one(static_cast<int>(fd), flags);
  }
  return 0;
}

int duplicate(int fd, FdEntry entry, int least, bool close_on_exec) {
  if (!fds.hold(entry)) return -EBADF;
  const int copy = sys::fcntl(fd, close_on_exec ? F_DUPFD_CLOEXEC : F_DUPFD, least);
  const int failure = copy < 0 ? -errno : -EMFILE;
  if (copy >= 0 && fds.put(copy, entry)) return copy;
  if (copy >= 0) sys::close(copy);
  let_go(entry);
  return failure;
}

int duplicate_onto(int from, int to, int flags) {
  if (is_internal(to)) return -EBUSY;
  const FdEntry source = fds.find(from);
  if (source.kind != FdKind::kOther && !fds.hold(source)) return -EBADF;
  const FdEntry replaced = fds.remove(to);
  const int outcome = sys::dup3(from, to, flags);
  if (outcome < 0) {
    const int failure = -errno;
    if (replaced.kind != FdKind::kOther) fds.put(to, replaced);
    let_go(source);
    return failure;
  }
  if (source.kind != FdKind::kOther && !fds.put(to, source)) let_go(source);
  let_go(replaced);
  return outcome;
}

int control(int fd, Description& d, int command, void* argument) {
  const FdEntry entry{FdKind::kSocket, fds.index_of(d)};
  switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
      return duplicate(fd, entry, argument_of(argument), command == F_DUPFD_CLOEXEC);
    case F_GETFL:
      return O_RDWR | (d.has(Description::kNonBlocking) ? O_NONBLOCK : 0) |
             (d.has(Description::kAsync) ? O_ASYNC : 0);
    case F_SETFL:
      d.set(Description::kNonBlocking, (argument_of(argument) & O_NONBLOCK) != 0);
      d.set(Description::kAsync, (argument_of(argument) & O_ASYNC) != 0);
      return 0;
    default: {
      // Close-on-exec and owners are the placeholder's.
      const int outcome = libc::fcntl(fd, command, argument);
      return outcome < 0 ? -errno : outcome;
    }
  }
}

namespace {

/// Questions about interfaces and routes go to any kernel socket of the family.
int ask_kernel(int domain, unsigned long request, void* argument) {
  const int fd = sys::socket(domain, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  const int outcome = sys::ioctl(fd, request, argument) < 0 ? -errno : 0;
  sys::close(fd);
  return outcome;
}

}  // namespace

int device_control(int fd, Description& d, unsigned long request, void* argument) {
  const auto* const on = static_cast<const int*>(argument);
  auto* const count = static_cast<int*>(argument);
  switch (request) {
    case FIONBIO:
    case FIOASYNC:
      if (on == nullptr) return -EFAULT;
      d.set(request == FIONBIO ? Description::kNonBlocking : Description::kAsync, *on != 0);
      return 0;
    case FIONREAD:  // SIOCINQ
    case SIOCOUTQ:
    case SIOCATMARK: {
      if (count == nullptr) return -EFAULT;
      int queued = 0;
      if (request == FIONREAD) queued = network()->queued_in(d.id());
      if (request == SIOCOUTQ) queued = network()->queued_out(d.id());
      if (queued < 0) return queued;
      *count = queued;
      return 0;
    }
    case FIOCLEX:
    case FIONCLEX:
      return libc::ioctl(fd, request, argument) < 0 ? -errno : 0;
    default:
      return ask_kernel(d.domain, request, argument);
  }
}

namespace {

int fd_of(void* cookie) { return static_cast<int>(reinterpret_cast<long>(cookie)); }

ssize_t read_stream(void* cookie, char* to, std::size_t n) {
  Description* d = fds.socket(fd_of(cookie));
  const iovec part{to, n};
  return d != nullptr ? result(receive(*d, &part, 1, 0, nullptr, nullptr))
                      : libc::read(fd_of(cookie), to, n);
}

ssize_t write_stream(void* cookie, const char* from, std::size_t n) {
  Description* d = fds.socket(fd_of(cookie));
  const iovec part{const_cast<char*>(from), n};
  const ssize_t sent = d != nullptr ? result(send(fd_of(cookie), *d, &part, 1, n, 0, nullptr))
                                    : libc::write(fd_of(cookie), from, n);
  return sent < 0 ? 0 : sent;  // fopencookie(3): 0 is the error of a write
}

int close_stream(void* cookie) {
  const int fd = fd_of(cookie);
  return fds.find(fd).kind != FdKind::kOther ? result(close_known(fd)) : libc::close(fd);
}

}  // namespace

FILE* open_stream(int fd, const char* mode) {
  const cookie_io_functions_t functions{&read_stream, &write_stream, nullptr, &close_stream};
  FILE* stream = fopencookie(reinterpret_cast<void*>(static_cast<long>(fd)), mode, functions);
  if (stream != nullptr) stream->_fileno = fd;  // for fileno(); glibc does not use it with a cookie
  return stream;
}

}  // namespace ringway::posix
