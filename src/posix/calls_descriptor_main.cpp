#undef _FORTIFY_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <climits>

#include "netmap/hooks.h"
#include "posix/context.h"
#include "posix/descriptors.h"
#include "posix/next.h"
#include "posix/stack_socket.h"

// The calls that close, copy and switch descriptors.

using namespace ringway::posix;
namespace netmap = ringway::netmap::hooks;

#pragma GCC visibility push(default)
extern "C" {

int close(int fd) {
  netmap::forget_interests(fd);
  if (fds.find(fd).kind != FdKind::kOther) return result(close_known(fd));
  if (netmap::is_netmap(fd)) return result(netmap::close_fd(fd));
  // Programs that close "everything" hit the runtime's own; those are not theirs.
  if (is_internal(fd)) return result(-EBADF);
  return libc::close(fd);
}
int __close(int fd) __attribute__((alias("close")));

int close_range(unsigned first, unsigned last, int flags) noexcept {
  const int outcome = close_between(first, last, flags);
  netmap::review(first, last);
  return result(outcome);
}

void closefrom(int first) noexcept {
  close_range(static_cast<unsigned>(first < 0 ? 0 : first), UINT_MAX, 0);
}

int dup(int fd) noexcept {
  const FdEntry entry = fds.find(fd);
  if (entry.kind == FdKind::kOther) {
    const int copy = libc::dup(fd);
    if (copy >= 0) netmap::duplicated(fd, copy);
    return copy;
  }
  return result(duplicate(fd, entry, 0, false));
}

int dup2(int from, int to) noexcept {
  const bool plain = from == to || (!fds.any() && network() == nullptr);
  const int copy = plain ? libc::dup2(from, to) : result(duplicate_onto(from, to, 0));
  if (copy >= 0) netmap::duplicated(from, copy);
  return copy;
}
int __dup2(int from, int to) noexcept __attribute__((alias("dup2")));

int dup3(int from, int to, int flags) noexcept {
  const bool plain = from == to || (!fds.any() && network() == nullptr);
  const int copy = plain ? libc::dup3(from, to, flags) : result(duplicate_onto(from, to, flags));
  if (copy >= 0) netmap::duplicated(from, copy);
  return copy;
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
  const int outcome = libc::fcntl(fd, command, argument);
  const bool copies = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
  if (copies && outcome >= 0) netmap::duplicated(fd, outcome);
  return outcome;
}
int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));
int __fcntl(int fd, int command, ...) __attribute__((alias("fcntl")));

int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list list;
  va_start(list, request);
  void* argument = va_arg(list, void*);
  va_end(list);
  Description* d = fds.socket(fd);
  if (d == nullptr && netmap::takes_ioctl(fd, request)) {
    return result(netmap::ioctl(fd, request, argument));
  }
  if (d == nullptr) return libc::ioctl(fd, request, argument);
  return result(device_control(fd, *d, request, argument));
}

FILE* fdopen(int fd, const char* mode) noexcept {
  return fds.socket(fd) != nullptr ? open_stream(fd, mode) : libc::fdopen(fd, mode);
}

// libc writes these straight to the descriptor.
int vdprintf(int fd, const char* format, va_list list) {
  if (fds.socket(fd) == nullptr) return libc::vdprintf(fd, format, list);
  char* text = nullptr;
  const int length = vasprintf(&text, format, list);
  if (length < 0) return length;
  ssize_t written = 0;
  for (int at = 0; at < length && written >= 0; at += static_cast<int>(written)) {
    written = write(fd, text + at, static_cast<size_t>(length - at));
  }
  const KeepErrno keep;
  free(text);
  return written < 0 ? -1 : length;
}

int dprintf(int fd, const char* format, ...) {
  va_list list;
  va_start(list, format);
  const int length = vdprintf(fd, format, list);
  va_end(list);
  return length;
}

int __vdprintf_chk(int fd, int, const char* format, va_list list) {
  return vdprintf(fd, format, list);
}

int __dprintf_chk(int fd, int, const char* format, ...) {
  va_list list;
  va_start(list, format);
  const int length = vdprintf(fd, format, list);
  va_end(list);
  return length;
}

}  // extern "C"
#pragma GCC visibility pop
