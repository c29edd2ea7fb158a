#undef _FORTIFY_SOURCE
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <vector>

#include "posix/context.h"
#include "posix/next.h"
#include "posix/process.h"
#include "posix/signals.h"

// The calls that make, replace and end processes, and signals.

using namespace ringway::posix;

namespace {

/// The arguments of an execl(): up to and with the closing null.
std::vector<char*> collect(const char* first, va_list list) {
  std::vector<char*> arguments{const_cast<char*>(first)};
  while (arguments.back() != nullptr) arguments.push_back(va_arg(list, char*));
  return arguments;
}

__attribute__((constructor)) void begin() {
  resolve_all();
  at_quick_exit([] { leave_network(); });
}

__attribute__((destructor)) void end() { leave_network(); }

sighandler_t set_handler(int number, sighandler_t handler, int flags) {
  struct sigaction now {};
  struct sigaction before {};
  now.sa_handler = handler;
  now.sa_flags = flags;
  sigemptyset(&now.sa_mask);
  if ((flags & SA_RESTART) != 0) sigaddset(&now.sa_mask, number);  // as glibc's signal()
  const int failure = change_signal(number, &now, &before);
  if (failure == 0) return before.sa_handler;
  errno = -failure;
  return SIG_ERR;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

pid_t fork() noexcept { return fork_process(); }
pid_t __fork() noexcept __attribute__((alias("fork")));

// A child that shares the parent's memory would also share its stacks: a real copy instead.
pid_t vfork() noexcept { return fork_process(); }
pid_t __vfork() noexcept __attribute__((alias("vfork")));

int daemon(int keep_directory, int keep_streams) noexcept {
  return result(detach(keep_directory != 0, keep_streams != 0));
}

int setuid(uid_t user) noexcept {
  before_identity_change();
  return libc::setuid(user);
}
int seteuid(uid_t user) noexcept {
  before_identity_change();
  return libc::seteuid(user);
}
int setreuid(uid_t real, uid_t effective) noexcept {
  before_identity_change();
  return libc::setreuid(real, effective);
}
int setresuid(uid_t real, uid_t effective, uid_t saved) noexcept {
  before_identity_change();
  return libc::setresuid(real, effective, saved);
}
int chroot(const char* path) noexcept {
  before_identity_change();
  return libc::chroot(path);
}

void _exit(int status) { end_process(status); }
void _Exit(int status) noexcept { end_process(status); }

int execve(const char* file, char* const arguments[], char* const environment[]) noexcept {
  return replace_process([&] { return libc::execve(file, arguments, environment); });
}

int execv(const char* file, char* const arguments[]) noexcept {
  return execve(file, arguments, environ);
}

int execvpe(const char* file, char* const arguments[], char* const environment[]) noexcept {
  return replace_process([&] { return libc::execvpe(file, arguments, environment); });
}

int execvp(const char* file, char* const arguments[]) noexcept {
  return execvpe(file, arguments, environ);
}

int execl(const char* file, const char* first, ...) noexcept {
  va_list list;
  va_start(list, first);
  const std::vector<char*> arguments = collect(first, list);
  va_end(list);
  return execve(file, arguments.data(), environ);
}

int execlp(const char* file, const char* first, ...) noexcept {
  va_list list;
  va_start(list, first);
  const std::vector<char*> arguments = collect(first, list);
  va_end(list);
  return execvpe(file, arguments.data(), environ);
}

int execle(const char* file, const char* first, ...) noexcept {
  va_list list;
  va_start(list, first);
  const std::vector<char*> arguments = collect(first, list);
  char* const* environment = va_arg(list, char* const*);
  va_end(list);
  return execve(file, arguments.data(), environment);
}

int fexecve(int fd, char* const arguments[], char* const environment[]) noexcept {
  return replace_process([&] { return libc::fexecve(fd, arguments, environment); });
}

int sigaction(int number, const struct sigaction* now, struct sigaction* before) noexcept {
  return result(change_signal(number, now, before));
}
int __sigaction(int number, const struct sigaction* now, struct sigaction* before) noexcept
    __attribute__((alias("sigaction")));

sighandler_t signal(int number, sighandler_t handler) noexcept {
  return set_handler(number, handler, SA_RESTART);
}
sighandler_t bsd_signal(int number, sighandler_t handler) noexcept __attribute__((alias("signal")));
sighandler_t ssignal(int number, sighandler_t handler) noexcept __attribute__((alias("signal")));

sighandler_t sysv_signal(int number, sighandler_t handler) noexcept {
  return set_handler(number, handler, static_cast<int>(SA_RESETHAND | SA_NODEFER));
}
sighandler_t __sysv_signal(int number, sighandler_t handler) noexcept
    __attribute__((alias("sysv_signal")));

int siginterrupt(int number, int flag) noexcept {
  struct sigaction action {};
  const int failure = change_signal(number, nullptr, &action);
  if (failure < 0) return result(failure);
  action.sa_flags = flag != 0 ? action.sa_flags & ~SA_RESTART : action.sa_flags | SA_RESTART;
  return result(change_signal(number, &action, nullptr));
}

}  // extern "C"
#pragma GCC visibility pop
