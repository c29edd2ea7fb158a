#undef _FORTIFY_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <climits>

#include "posix/context.h"
#include "posix/descriptors.h"
#include "posix/next.h"
#include "posix/stack_socket.h"

// The calls that close, copy and switch descriptors.

using namespace ringway::posix;

#pragma GCC visibility push(default)
extern "C" {

int close(int fd) {
  if (fds.find(fd).kind != FdKind::kOther) return result(close_known(fd));
  // Programs that close "everything" hit the runtime's own; those are not theirs.
  if (is_internal(fd)) return result(-EBADF);
  return libc::close(fd);
}
int __close(int fd) __attribute__((alias("close")));

int close_range(unsigned first, unsigned last, int flags) noexcept {
  return result(close_between(first, last, flags));
}

void closefrom(int first) noexcept {
  close_between(static_cast<unsigned>(first < 0 ? 0 : first), UINT_MAX, 0);
}

int dup(int fd) noexcept {
  const FdEntry entry = fds.find(fd);
  if (entry.kind == FdKind::kOther) return libc::dup(fd);
  return result(duplicate(fd, entry, 0, false));
}

int dup2(int from, int to) noexcept {
  if (from == to || (!fds.any() && network() == nullptr)) return libc::dup2(from, to);
  return result(duplicate_onto(from, to, 0));
}
int __dup2(int from, int to) noexcept __attribute__((alias("dup2")));

int dup3(int from, int to, int flags) noexcept {
  if (from == to || (!fds.any() && network() == nullptr)) return libc::dup3(from, to, flags);
  return result(duplicate_onto(from, to, flags));
}

int fcntl(int fd, int command, ...) {
  va_list list;
  va_start(list, command);
  void* argument = va_arg(list, void*);
  va_end(list);
  const FdEntry entry = fds.find(fd);
  if (entry.kind == FdKind::kSocket) {
    return result(control(fd, fds.socket_at(entry.index), command, argument));
  }
  if (entry.kind == FdKind::kEpoll && (command == F_DUPFD || command == F_DUPFD_CLOEXEC)) {
    const int least = static_cast<int>(reinterpret_cast<long>(argument));
    return result(duplicate(fd, entry, least, command == F_DUPFD_CLOEXEC));
  }
  return libc::fcntl(fd, command, argument);
}
int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));
int __fcntl(int fd, int command, ...) __attribute__((alias("fcntl")));

int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list list;
  va_start(list, request);
  void* argument = va_arg(list, void*);
  va_end(list);
  Description* d = fds.socket(fd);
  if (d == nullptr) return libc::ioctl(fd, request, argument);
  return result(device_control(fd, *d, request, argument));
}

FILE* fdopen(int fd, const char* mode) noexcept {
  return fds.socket(fd) != nullptr ? open_stream(fd, mode) : libc::fdopen(fd, mode);
}

}  // extern "C"
#pragma GCC visibility pop
