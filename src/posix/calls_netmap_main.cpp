#undef _FORTIFY_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "netmap/hooks.h"
#include "posix/context.h"
#include "posix/next.h"
#include "posix/own_files.h"

// The calls by which a program opens and maps /dev/netmap. All other files are libc's.

using namespace ringway::posix;
namespace netmap = ringway::netmap;

namespace {

constinit Next<int(const char*, int, mode_t)> next_open{"open"};
constinit Next<int(int, const char*, int, mode_t)> next_openat{"openat"};
constinit Next<void*(void*, size_t, int, int, int, off_t)> next_mmap{"mmap"};

__attribute__((constructor)) void begin() {
  next_open.get();
  next_openat.get();
  next_mmap.get();
  set_own_files(&netmap::owns_fd);
  at_quick_exit([] { netmap::leave(); });
}

__attribute__((destructor)) void end() { netmap::leave(); }

int open_any(const char* path, int flags, mode_t mode) {
  if (netmap::hooks::is_device(path)) return result(netmap::hooks::open_device(flags));
  return next_open(path, flags, mode);
}

int open_any_at(int directory, const char* path, int flags, mode_t mode) {
  if (netmap::hooks::is_device(path)) return result(netmap::hooks::open_device(flags));
  return next_openat(directory, path, flags, mode);
}

bool wants_mode(int flags) { return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE; }

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

int open(const char* path, int flags, ...) {
  mode_t mode = 0;
  if (wants_mode(flags)) {
    va_list list;
    va_start(list, flags);
    mode = va_arg(list, mode_t);
    va_end(list);
  }
  return open_any(path, flags, mode);
}
int open64(const char* path, int flags, ...) __attribute__((alias("open")));
int __open(const char* path, int flags, ...) __attribute__((nonnull(1), alias("open")));
int __open64(const char* path, int flags, ...) __attribute__((nonnull(1), alias("open")));

int openat(int directory, const char* path, int flags, ...) {
  mode_t mode = 0;
  if (wants_mode(flags)) {
    va_list list;
    va_start(list, flags);
    mode = va_arg(list, mode_t);
    va_end(list);
  }
  return open_any_at(directory, path, flags, mode);
}
int openat64(int directory, const char* path, int flags, ...) __attribute__((alias("openat")));

int __open_2(const char* path, int flags) { return open_any(path, flags, 0); }
int __open64_2(const char* path, int flags) { return open_any(path, flags, 0); }
int __openat_2(int directory, const char* path, int flags) {
  return open_any_at(directory, path, flags, 0);
}
int __openat64_2(int directory, const char* path, int flags) {
  return open_any_at(directory, path, flags, 0);
}

void* mmap(void* where, size_t bytes, int protection, int flags, int fd, off_t offset) noexcept {
  if ((flags & MAP_ANONYMOUS) == 0 && netmap::hooks::takes_mmap(fd)) {
    return netmap::hooks::mmap(where, bytes, protection, flags, fd, offset);
  }
  return next_mmap(where, bytes, protection, flags, fd, offset);
}
void* mmap64(void* where, size_t bytes, int protection, int flags, int fd, off_t offset) noexcept
    __attribute__((alias("mmap")));

}  // extern "C"
#pragma GCC visibility pop
