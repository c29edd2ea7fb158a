#pragma once

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <atomic>

/// libc's own functions, behind the names that the shim takes.
namespace ringway::posix {

/// The address of the definition that would be called without the shim, found on first use or by
/// resolve_all(), whichever is first.
class NextAddress {
 public:
  constexpr explicit NextAddress(const char* name) : name_(name) {}
  void* get() {
    void* address = address_.load(std::memory_order_relaxed);
    return address != nullptr ? address : resolve();
  }
  /// Thread-safe. A name that libc does not have gets a function that fails with ENOSYS.
  void* resolve();

 private:
  const char* name_;
  std::atomic<void*> address_{nullptr};
};

template <typename Signature>
class Next;

/// Variadic functions of libc are declared with their one optional argument: on x86-64 it travels
/// in the same register either way.
template <typename R, typename... Arguments>
class Next<R(Arguments...)> : public NextAddress {
 public:
  using NextAddress::NextAddress;
  R operator()(Arguments... arguments) {
    return reinterpret_cast<R (*)(Arguments...)>(get())(arguments...);
  }
};

/// Looks every name up, so that no later call does it from a signal handler. Any number of times.
void resolve_all();

namespace libc {
using SignalHandler = void (*)(int);

inline constinit Next<int(int, int, int)> socket{"socket"};
inline constinit Next<int(int, const sockaddr*, socklen_t)> bind{"bind"};
inline constinit Next<int(int, int)> listen{"listen"};
inline constinit Next<int(int, sockaddr*, socklen_t*, int)> accept4{"accept4"};
inline constinit Next<int(int, sockaddr*, socklen_t*)> accept{"accept"};
inline constinit Next<int(int, const sockaddr*, socklen_t)> connect{"connect"};
inline constinit Next<int(int, int)> shutdown{"shutdown"};
inline constinit Next<int(int, sockaddr*, socklen_t*)> getsockname{"getsockname"};
inline constinit Next<int(int, sockaddr*, socklen_t*)> getpeername{"getpeername"};
inline constinit Next<int(int, int, int, void*, socklen_t*)> getsockopt{"getsockopt"};
inline constinit Next<int(int, int, int, const void*, socklen_t)> setsockopt{"setsockopt"};

inline constinit Next<ssize_t(int, const void*, size_t, int)> send{"send"};
inline constinit Next<ssize_t(int, const void*, size_t, int, const sockaddr*, socklen_t)> sendto{
    "sendto"};
inline constinit Next<ssize_t(int, const msghdr*, int)> sendmsg{"sendmsg"};
inline constinit Next<int(int, mmsghdr*, unsigned, int)> sendmmsg{"sendmmsg"};
inline constinit Next<ssize_t(int, void*, size_t, int)> recv{"recv"};
inline constinit Next<ssize_t(int, void*, size_t, int, sockaddr*, socklen_t*)> recvfrom{"recvfrom"};
inline constinit Next<ssize_t(int, msghdr*, int)> recvmsg{"recvmsg"};
inline constinit Next<int(int, mmsghdr*, unsigned, int, timespec*)> recvmmsg{"recvmmsg"};
inline constinit Next<ssize_t(int, void*, size_t)> read{"read"};
inline constinit Next<ssize_t(int, const void*, size_t)> write{"write"};
inline constinit Next<ssize_t(int, const iovec*, int)> readv{"readv"};
inline constinit Next<ssize_t(int, const iovec*, int)> writev{"writev"};
inline constinit Next<ssize_t(int, int, off_t*, size_t)> sendfile{"sendfile"};
inline constinit Next<ssize_t(int, off64_t*, int, off64_t*, size_t, unsigned)> splice{"splice"};

inline constinit Next<int(int)> close{"close"};
inline constinit Next<int(unsigned, unsigned, int)> close_range{"close_range"};
inline constinit Next<int(int)> dup{"dup"};
inline constinit Next<int(int, int)> dup2{"dup2"};
inline constinit Next<int(int, int, int)> dup3{"dup3"};
inline constinit Next<int(int, int, void*)> fcntl{"fcntl"};
inline constinit Next<int(int, unsigned long, void*)> ioctl{"ioctl"};
inline constinit Next<FILE*(int, const char*)> fdopen{"fdopen"};
inline constinit Next<int(int, const char*, va_list)> vdprintf{"vdprintf"};

inline constinit Next<int(pollfd*, nfds_t, int)> poll{"poll"};
inline constinit Next<int(pollfd*, nfds_t, const timespec*, const sigset_t*)> ppoll{"ppoll"};
inline constinit Next<int(int, fd_set*, fd_set*, fd_set*, timeval*)> select{"select"};
inline constinit Next<int(int, fd_set*, fd_set*, fd_set*, const timespec*, const sigset_t*)>
    pselect{"pselect"};
inline constinit Next<int(int)> epoll_create1{"epoll_create1"};
inline constinit Next<int(int, int, int, epoll_event*)> epoll_ctl{"epoll_ctl"};
inline constinit Next<int(int, epoll_event*, int, int)> epoll_wait{"epoll_wait"};
inline constinit Next<int(int, epoll_event*, int, int, const sigset_t*)> epoll_pwait{"epoll_pwait"};
inline constinit Next<int(int, epoll_event*, int, const timespec*, const sigset_t*)> epoll_pwait2{
    "epoll_pwait2"};

inline constinit Next<pid_t()> fork{"fork"};
inline constinit Next<int(uid_t)> setuid{"setuid"};
inline constinit Next<int(uid_t)> seteuid{"seteuid"};
inline constinit Next<int(uid_t, uid_t)> setreuid{"setreuid"};
inline constinit Next<int(uid_t, uid_t, uid_t)> setresuid{"setresuid"};
inline constinit Next<int(const char*)> chroot{"chroot"};
inline constinit Next<void(int)> exit_now{"_exit"};
inline constinit Next<int(const char*, char* const*, char* const*)> execve{"execve"};
inline constinit Next<int(const char*, char* const*, char* const*)> execvpe{"execvpe"};
inline constinit Next<int(int, char* const*, char* const*)> fexecve{"fexecve"};
inline constinit Next<int(int, const char*, char* const*, char* const*, int)> execveat{"execveat"};
inline constinit Next<int(pid_t*, const char*, const posix_spawn_file_actions_t*,
                          const posix_spawnattr_t*, char* const*, char* const*)>
    posix_spawn{"posix_spawn"};
inline constinit Next<int(const char*)> system{"system"};
inline constinit Next<FILE*(const char*, const char*)> popen{"popen"};
inline constinit Next<int(FILE*)> pclose{"pclose"};
inline constinit Next<int(posix_spawn_file_actions_t*)> posix_spawn_file_actions_destroy{
    "posix_spawn_file_actions_destroy"};
inline constinit Next<int(posix_spawn_file_actions_t*, int, int)> posix_spawn_file_actions_adddup2{
    "posix_spawn_file_actions_adddup2"};
inline constinit Next<int(posix_spawn_file_actions_t*, int)> posix_spawn_file_actions_addclose{
    "posix_spawn_file_actions_addclose"};
inline constinit Next<int(posix_spawn_file_actions_t*, int)>
    posix_spawn_file_actions_addclosefrom_np{"posix_spawn_file_actions_addclosefrom_np"};
inline constinit Next<int(posix_spawn_file_actions_t*, int, const char*, int, mode_t)>
    posix_spawn_file_actions_addopen{"posix_spawn_file_actions_addopen"};
inline constinit Next<int(posix_spawn_file_actions_t*, const char*)>
    posix_spawn_file_actions_addchdir_np{"posix_spawn_file_actions_addchdir_np"};
inline constinit Next<int(posix_spawn_file_actions_t*, int)> posix_spawn_file_actions_addfchdir_np{
    "posix_spawn_file_actions_addfchdir_np"};
inline constinit Next<int(posix_spawn_file_actions_t*, int)>
    posix_spawn_file_actions_addtcsetpgrp_np{"posix_spawn_file_actions_addtcsetpgrp_np"};
inline constinit Next<int(int, const struct sigaction*, struct sigaction*)> sigaction{"sigaction"};
}  // namespace libc
}  // namespace ringway::posix
