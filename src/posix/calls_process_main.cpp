#undef _FORTIFY_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <vector>

#include "posix/context.h"
#include "posix/next.h"
#include "posix/process.h"
#include "posix/shell.h"
#include "posix/signals.h"
#include "posix/spawn.h"

// The calls that make, replace and end processes, and signals.

using namespace ringway::posix;

namespace {

/// The arguments of an execl(): up to and with the closing null.
std::vector<char*> collect(const char* first, va_list list) {
  std::vector<char*> arguments{const_cast<char*>(first)};
  while (arguments.back() != nullptr) arguments.push_back(va_arg(list, char*));
  return arguments;
}

/// A path for what execveat(2) would run.
std::string path_at(int directory, const char* path, int flags) {
  if (path[0] == '/' || (directory == AT_FDCWD && path[0] != 0)) return path;
  const std::string base = "/proc/self/fd/" + std::to_string(directory);
  return path[0] == 0 && (flags & AT_EMPTY_PATH) != 0 ? base : base + "/" + path;
}

__attribute__((constructor)) void begin() {
  resolve_all();
  remember_environment();
  arrive();
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
  return replace_process(file, environment, [&](char* const* complete) {
    return libc::execve(file, arguments, complete);
  });
}

int execv(const char* file, char* const arguments[]) noexcept {
  return execve(file, arguments, environ);
}

int execvpe(const char* file, char* const arguments[], char* const environment[]) noexcept {
  const std::string path = find_on_path(file);
  return replace_process(path.c_str(), environment, [&](char* const* complete) {
    return libc::execvpe(path.c_str(), arguments, complete);
  });
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
  return replace_process(
      path_at(fd, "", AT_EMPTY_PATH).c_str(), environment,
      [&](char* const* complete) { return libc::fexecve(fd, arguments, complete); });
}

int execveat(int directory, const char* path, char* const arguments[], char* const environment[],
             int flags) noexcept {
  return replace_process(path_at(directory, path, flags).c_str(), environment,
                         [&](char* const* complete) {
                           return libc::execveat(directory, path, arguments, complete, flags);
                         });
}

int posix_spawn(pid_t* child, const char* path, const posix_spawn_file_actions_t* actions,
                const posix_spawnattr_t* attributes, char* const arguments[],
                char* const environment[]) {
  return spawn(child, path, {actions, attributes, arguments, environment});
}

int posix_spawnp(pid_t* child, const char* file, const posix_spawn_file_actions_t* actions,
                 const posix_spawnattr_t* attributes, char* const arguments[],
                 char* const environment[]) {
  return spawn(child, find_on_path(file).c_str(), {actions, attributes, arguments, environment});
}

int system(const char* command) { return run_shell(command); }

FILE* popen(const char* command, const char* mode) { return open_shell(command, mode); }
int pclose(FILE* stream) { return close_shell(stream); }

int posix_spawn_file_actions_destroy(posix_spawn_file_actions_t* actions) noexcept {
  forget_actions(actions);
  return libc::posix_spawn_file_actions_destroy(actions);
}

int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t* actions, int from,
                                     int to) noexcept {
  const int failure = libc::posix_spawn_file_actions_adddup2(actions, from, to);
  if (failure == 0) note_action(actions, {.kind = SpawnAction::kDup, .fd = from, .to = to});
  return failure;
}

int posix_spawn_file_actions_addclose(posix_spawn_file_actions_t* actions, int fd) noexcept {
  const int failure = libc::posix_spawn_file_actions_addclose(actions, fd);
  if (failure == 0) note_action(actions, {.kind = SpawnAction::kClose, .fd = fd});
  return failure;
}

int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t* actions,
                                             int first) noexcept {
  const int failure = libc::posix_spawn_file_actions_addclosefrom_np(actions, first);
  if (failure == 0) note_action(actions, {.kind = SpawnAction::kCloseFrom, .fd = first});
  return failure;
}

int posix_spawn_file_actions_addopen(posix_spawn_file_actions_t* actions, int fd, const char* path,
                                     int flags, mode_t mode) noexcept {
  const int failure = libc::posix_spawn_file_actions_addopen(actions, fd, path, flags, mode);
  if (failure == 0) {
    note_action(actions,
                {.kind = SpawnAction::kOpen, .fd = fd, .path = path, .flags = flags, .mode = mode});
  }
  return failure;
}

int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t* actions,
                                         const char* path) noexcept {
  const int failure = libc::posix_spawn_file_actions_addchdir_np(actions, path);
  if (failure == 0) note_action(actions, {.kind = SpawnAction::kDirectory, .path = path});
  return failure;
}

int posix_spawn_file_actions_addfchdir_np(posix_spawn_file_actions_t* actions, int fd) noexcept {
  const int failure = libc::posix_spawn_file_actions_addfchdir_np(actions, fd);
  if (failure == 0) note_action(actions, {.kind = SpawnAction::kDirectory, .fd = fd});
  return failure;
}

int posix_spawn_file_actions_addtcsetpgrp_np(posix_spawn_file_actions_t* actions, int fd) noexcept {
  const int failure = libc::posix_spawn_file_actions_addtcsetpgrp_np(actions, fd);
  if (failure == 0) note_action(actions, {.kind = SpawnAction::kForeground, .fd = fd});
  return failure;
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
