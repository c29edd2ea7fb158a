#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <type_traits>

/// System calls made directly, without libc's functions of the same name: inside a program under
/// the shim those names are the shim's. Results and errno are as libc's. None of them is a
/// cancellation point. Any thread.
namespace ringway::base::sys {

/// The bare instruction; returns what the kernel returned (-4095..-1: a negated errno).
inline long raw(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0,
                long f = 0) {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

namespace detail {
template <typename T>
long word(T value) {
  if constexpr (std::is_pointer_v<T>) {
    return reinterpret_cast<long>(value);
  } else {
    return static_cast<long>(value);
  }
}
/// Calls and turns a negated errno into -1 and errno.
template <typename... Arguments>
long call(long number, Arguments... arguments) {
  const long result = raw(number, word(arguments)...);
  if (result < 0 && result >= -4095) {
    errno = static_cast<int>(-result);
    return -1;
  }
  return result;
}
template <typename... Arguments>
int call_int(long number, Arguments... arguments) {
  return static_cast<int>(call(number, arguments...));
}
constexpr std::size_t kSignalSetBytes = 8;
}  // namespace detail

inline int socket(int domain, int type, int protocol) {
  return detail::call_int(SYS_socket, domain, type, protocol);
}
inline int socketpair(int domain, int type, int protocol, int* two) {
  return detail::call_int(SYS_socketpair, domain, type, protocol, two);
}
inline int bind(int fd, const sockaddr* address, socklen_t length) {
  return detail::call_int(SYS_bind, fd, address, length);
}
inline int listen(int fd, int backlog) { return detail::call_int(SYS_listen, fd, backlog); }
inline int accept4(int fd, sockaddr* address, socklen_t* length, int flags) {
  return detail::call_int(SYS_accept4, fd, address, length, flags);
}
inline int connect(int fd, const sockaddr* address, socklen_t length) {
  return detail::call_int(SYS_connect, fd, address, length);
}
inline int getsockname(int fd, sockaddr* address, socklen_t* length) {
  return detail::call_int(SYS_getsockname, fd, address, length);
}
inline int getsockopt(int fd, int level, int name, void* value, socklen_t* length) {
  return detail::call_int(SYS_getsockopt, fd, level, name, value, length);
}
inline int setsockopt(int fd, int level, int name, const void* value, socklen_t length) {
  return detail::call_int(SYS_setsockopt, fd, level, name, value, length);
}
inline ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  return detail::call(SYS_sendmsg, fd, message, flags);
}
inline ssize_t recvmsg(int fd, msghdr* message, int flags) {
  return detail::call(SYS_recvmsg, fd, message, flags);
}
inline int shutdown(int fd, int how) { return detail::call_int(SYS_shutdown, fd, how); }

/// Linux frees the descriptor even when it answers EINTR: never to be repeated.
inline int close(int fd) { return detail::call_int(SYS_close, fd); }
inline ssize_t read(int fd, void* to, std::size_t n) { return detail::call(SYS_read, fd, to, n); }
inline ssize_t write(int fd, const void* from, std::size_t n) {
  return detail::call(SYS_write, fd, from, n);
}
inline ssize_t readv(int fd, const iovec* parts, int n) {
  return detail::call(SYS_readv, fd, parts, n);
}
inline ssize_t writev(int fd, const iovec* parts, int n) {
  return detail::call(SYS_writev, fd, parts, n);
}
/// Copies from or to memory that may be gone (of any process, this one too): then it fails.
inline ssize_t process_vm_readv(pid_t pid, const iovec* to, const iovec* from) {
  return detail::call(SYS_process_vm_readv, pid, to, 1, from, 1, 0);
}
inline ssize_t process_vm_writev(pid_t pid, const iovec* from, const iovec* to) {
  return detail::call(SYS_process_vm_writev, pid, from, 1, to, 1, 0);
}
inline int fcntl(int fd, int command, long argument = 0) {
  return detail::call_int(SYS_fcntl, fd, command, argument);
}
inline int ioctl(int fd, unsigned long request, void* argument) {
  return detail::call_int(SYS_ioctl, fd, request, argument);
}
inline int dup(int fd) { return detail::call_int(SYS_dup, fd); }
inline int dup2(int from, int to) { return detail::call_int(SYS_dup2, from, to); }
inline int dup3(int from, int to, int flags) { return detail::call_int(SYS_dup3, from, to, flags); }
inline int openat(int directory, const char* path, int flags, mode_t mode = 0) {
  return detail::call_int(SYS_openat, directory, path, flags, mode);
}
inline int flock(int fd, int operation) { return detail::call_int(SYS_flock, fd, operation); }
inline int fstat(int fd, struct stat* out) { return detail::call_int(SYS_fstat, fd, out); }
inline int ftruncate(int fd, off_t bytes) { return detail::call_int(SYS_ftruncate, fd, bytes); }

inline int poll(pollfd* fds, nfds_t n, int timeout_ms) {
  return detail::call_int(SYS_poll, fds, n, timeout_ms);
}
/// `timeout` may be null (for ever); the kernel writes the time that is left into it.
inline int ppoll(pollfd* fds, nfds_t n, timespec* timeout, const void* mask = nullptr) {
  return detail::call_int(SYS_ppoll, fds, n, timeout, mask, detail::kSignalSetBytes);
}
inline int epoll_create1(int flags) { return detail::call_int(SYS_epoll_create1, flags); }
inline int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) {
  return detail::call_int(SYS_epoll_ctl, epoll, operation, fd, event);
}
inline int epoll_wait(int epoll, epoll_event* events, int n, int timeout_ms) {
  return detail::call_int(SYS_epoll_wait, epoll, events, n, timeout_ms);
}
inline int epoll_pwait(int epoll, epoll_event* events, int n, int timeout_ms, const void* mask) {
  return detail::call_int(SYS_epoll_pwait, epoll, events, n, timeout_ms, mask,
                          detail::kSignalSetBytes);
}
inline int epoll_pwait2(int epoll, epoll_event* events, int n, const timespec* timeout,
                        const void* mask) {
  return detail::call_int(SYS_epoll_pwait2, epoll, events, n, timeout, mask,
                          detail::kSignalSetBytes);
}

inline int eventfd(unsigned initial, int flags) {
  return detail::call_int(SYS_eventfd2, initial, flags);
}
inline int pipe2(int* two, int flags) { return detail::call_int(SYS_pipe2, two, flags); }
inline int memfd_create(const char* name, unsigned flags) {
  return detail::call_int(SYS_memfd_create, name, flags);
}
inline int timerfd_create(int clock, int flags) {
  return detail::call_int(SYS_timerfd_create, clock, flags);
}
inline int timerfd_settime(int fd, int flags, const itimerspec* value, itimerspec* old) {
  return detail::call_int(SYS_timerfd_settime, fd, flags, value, old);
}
inline int pidfd_open(pid_t pid, unsigned flags) {
  return detail::call_int(SYS_pidfd_open, pid, flags);
}
inline int membarrier(int command, unsigned flags = 0) {
  return detail::call_int(SYS_membarrier, command, flags, 0);
}
inline pid_t gettid() { return detail::call_int(SYS_gettid); }
inline pid_t getpid() { return detail::call_int(SYS_getpid); }

/// Sleeps while `*word == expected`; `timeout` is relative, null means for ever. For words shared
/// between processes.
inline int futex_wait(const std::uint32_t* word, std::uint32_t expected, const timespec* timeout) {
  constexpr int kFutexWait = 0;
  return detail::call_int(SYS_futex, word, kFutexWait, expected, timeout);
}
/// Wakes up to `count` sleepers; returns how many there were.
inline int futex_wake(const std::uint32_t* word, int count) {
  constexpr int kFutexWake = 1;
  return detail::call_int(SYS_futex, word, kFutexWake, count);
}

}  // namespace ringway::base::sys
