#include "posix/spawn.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <map>
#include <mutex>
#include <vector>

#include "base/sys.h"
#include "base/unique_fd.h"
#include "posix/context.h"
#include "posix/descriptors.h"
#include "posix/next.h"
#include "posix/process.h"

namespace ringway::posix {
namespace {

namespace sys = base::sys;
using Actions = SpawnActions;

struct Noted {
  std::mutex mutex;
  std::map<const posix_spawn_file_actions_t*, Actions> all;
};

Noted& noted() {
  static Noted* const noted = new Noted;  // used until the very end of a process
  return *noted;
}

Actions actions_of(const posix_spawn_file_actions_t* actions) {
  Noted& known = noted();
  const std::lock_guard lock(known.mutex);
  const auto at = known.all.find(actions);
  return at == known.all.end() ? Actions{} : at->second;
}

}  // namespace

bool hands_sockets_over(const Actions& actions) {
  if (network() == nullptr || has_left()) return false;
  const auto copies = [](const SpawnAction& a) {
    return a.kind == SpawnAction::kDup && fds.socket(a.fd) != nullptr;
  };
  if (std::any_of(actions.begin(), actions.end(), copies)) return true;
  for (int fd = 0; fd < fds.limit(); ++fd) {
    if (fds.socket(fd) == nullptr) continue;
    const int flags = sys::fcntl(fd, F_GETFD);
    if (flags >= 0 && (flags & FD_CLOEXEC) == 0) return true;
  }
  return false;
}

namespace {

int outcome(int value) { return value < 0 ? -errno : 0; }

int run(const SpawnAction& action) {
  switch (action.kind) {
    case SpawnAction::kDup:
      // The same number twice: the program wants it open in the child (POSIX.1-2024).
      if (action.fd == action.to) return outcome(sys::fcntl(action.fd, F_SETFD, 0));
      return outcome(::dup2(action.fd, action.to));
    case SpawnAction::kClose:
      ::close(action.fd);
      return 0;
    case SpawnAction::kCloseFrom:
      return close_between(static_cast<unsigned>(action.fd), std::numeric_limits<unsigned>::max(),
                           0);
    case SpawnAction::kOpen: {
      const int fd = ::open(action.path.c_str(), action.flags, action.mode);
      if (fd < 0 || fd == action.fd) return outcome(fd);
      const int moved = outcome(::dup2(fd, action.fd));
      sys::close(fd);
      return moved;
    }
    case SpawnAction::kDirectory:
      return outcome(action.path.empty() ? ::fchdir(action.fd) : ::chdir(action.path.c_str()));
    case SpawnAction::kForeground:
      return outcome(::tcsetpgrp(action.fd, ::getpgrp()));
  }
  return 0;
}

int apply(const posix_spawnattr_t* attributes) {
  short flags = 0;
  if (attributes == nullptr || posix_spawnattr_getflags(attributes, &flags) != 0) return 0;
  pid_t group = 0;
  sched_param parameters{};
  int scheduler = 0;
  posix_spawnattr_getpgroup(attributes, &group);
  posix_spawnattr_getschedparam(attributes, &parameters);
  posix_spawnattr_getschedpolicy(attributes, &scheduler);
  if ((flags & POSIX_SPAWN_SETSIGDEF) != 0) {
    sigset_t plain;
    posix_spawnattr_getsigdefault(attributes, &plain);
    for (int number = 1; number < NSIG; ++number) {
      if (sigismember(&plain, number) == 1) ::signal(number, SIG_DFL);
    }
  }
  if ((flags & POSIX_SPAWN_SETSCHEDULER) != 0) {
    if (sched_setscheduler(0, scheduler, &parameters) < 0) return -errno;
  } else if ((flags & POSIX_SPAWN_SETSCHEDPARAM) != 0 && sched_setparam(0, &parameters) < 0) {
    return -errno;
  }
  if ((flags & POSIX_SPAWN_SETSID) != 0 && setsid() < 0) return -errno;
  if ((flags & POSIX_SPAWN_SETPGROUP) != 0 && setpgid(0, group) < 0) return -errno;
  if ((flags & POSIX_SPAWN_RESETIDS) != 0) {
    if (setegid(getgid()) < 0 || ::seteuid(getuid()) < 0) return -errno;
  }
  return 0;
}

/// Everything between fork and exec; returns what failed.
int become(const char* path, const SpawnRequest& request, const Actions& actions,
           const sigset_t& before) {
  if (const int failure = apply(request.attributes); failure < 0) return failure;
  for (const SpawnAction& action : actions) {
    if (const int failure = run(action); failure < 0) return failure;
  }
  sigset_t mask = before;
  short flags = 0;
  if (request.attributes != nullptr) posix_spawnattr_getflags(request.attributes, &flags);
  if ((flags & POSIX_SPAWN_SETSIGMASK) != 0) {
    posix_spawnattr_getsigmask(request.attributes, &mask);
  }
  sigprocmask(SIG_SETMASK, &mask, nullptr);
  ::execve(path, request.arguments, request.environment);
  return -errno;
}

}  // namespace

void note_action(const posix_spawn_file_actions_t* actions, SpawnAction action) {
  Noted& known = noted();
  const std::lock_guard lock(known.mutex);
  known.all[actions].push_back(std::move(action));
}

void forget_actions(const posix_spawn_file_actions_t* actions) {
  Noted& known = noted();
  const std::lock_guard lock(known.mutex);
  known.all.erase(actions);
}

int spawn(pid_t* child, const char* path, const SpawnRequest& request) {
  const Actions actions = request.actions != nullptr ? actions_of(request.actions) : Actions{};
  if (hands_sockets_over(actions)) return spawn_over(child, path, request, actions);
  ImageEnvironment complete(request.environment, -1);
  return libc::posix_spawn(child, path, request.actions, request.attributes, request.arguments,
                           complete.get());
}

int spawn_over(pid_t* child, const char* path, const SpawnRequest& request,
               const Actions& actions) {
  int ends[2] = {-1, -1};
  if (sys::pipe2(ends, O_CLOEXEC) < 0) return errno;
  const base::UniqueFd reader(ends[0]);
  constexpr long kOutOfTheWay = 700;  // of the numbers that the actions set
  base::UniqueFd writer(sys::fcntl(ends[1], F_DUPFD_CLOEXEC, kOutOfTheWay));
  sys::close(ends[1]);
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t made = fork_process();
  int failure = made < 0 ? -errno : 0;
  if (made == 0) {
    failure = become(path, request, actions, before);
    sys::write(writer.get(), &failure, sizeof failure);
    end_process(127);
  }
  writer.reset();
  if (made > 0 && sys::read(reader.get(), &failure, sizeof failure) != sizeof failure) failure = 0;
  if (made > 0 && failure < 0) waitpid(made, nullptr, 0);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (failure == 0 && child != nullptr) *child = made;
  return -failure;
}

}  // namespace ringway::posix
