#include "posix/shell.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "base/sys.h"
#include "base/unique_fd.h"
#include "posix/next.h"
#include "posix/signals.h"
#include "posix/spawn.h"

namespace ringway::posix {
namespace {

namespace sys = base::sys;

/// system(3): while any thread waits for its command, the keyboard's signals are the command's.
class KeyboardSignals {
 public:
  void ignore() {
    const std::lock_guard lock(mutex_);
    if (++users_ != 1) return;
    struct sigaction ignored {};
    ignored.sa_handler = SIG_IGN;
    change_signal(SIGINT, &ignored, &interrupt_);
    change_signal(SIGQUIT, &ignored, &quit_);
  }
  void restore() {
    const std::lock_guard lock(mutex_);
    if (--users_ != 0) return;
    change_signal(SIGINT, &interrupt_, nullptr);
    change_signal(SIGQUIT, &quit_, nullptr);
  }
  /// Those that a command is to have in their default way.
  sigset_t defaults() {
    const std::lock_guard lock(mutex_);
    sigset_t set;
    sigemptyset(&set);
    if (interrupt_.sa_handler != SIG_IGN) sigaddset(&set, SIGINT);
    if (quit_.sa_handler != SIG_IGN) sigaddset(&set, SIGQUIT);
    return set;
  }

 private:
  std::mutex mutex_;
  int users_ = 0;
  struct sigaction interrupt_ {};
  struct sigaction quit_ {};
};

KeyboardSignals& keyboard() {
  static KeyboardSignals* const signals = new KeyboardSignals;  // used until the very end
  return *signals;
}

/// Streams of open_shell() that are open, and whom they lead to.
struct Streams {
  std::mutex mutex;
  std::map<FILE*, pid_t> all;
};

Streams& streams() {
  static Streams* const streams = new Streams;
  return *streams;
}

constexpr const char* kShell = "/bin/sh";

struct Command {
  explicit Command(const char* command)
      : text(command), arguments{name, option, const_cast<char*>(text), nullptr} {}

  const char* text;
  char name[3] = "sh";
  char option[3] = "-c";
  char* arguments[4];
};

int wait_for(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return status;
}

/// 'r' or 'w'; 0: not a mode of popen(3).
char direction(const char* mode, bool& close_on_exec) {
  char way = 0;
  for (; *mode != '\0'; ++mode) {
    if (*mode == 'e') {
      close_on_exec = true;
    } else if ((*mode == 'r' || *mode == 'w') && way == 0) {
      way = *mode;
    } else {
      return 0;
    }
  }
  return way;
}

}  // namespace

int run_shell(const char* command) {
  if (command == nullptr || !hands_sockets_over({})) return libc::system(command);
  sigset_t child_ends;
  sigset_t before;
  sigemptyset(&child_ends);
  sigaddset(&child_ends, SIGCHLD);
  keyboard().ignore();
  pthread_sigmask(SIG_BLOCK, &child_ends, &before);
  const sigset_t defaults = keyboard().defaults();
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigmask(&attributes, &before);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  Command shell(command);
  pid_t child = -1;
  const int failure =
      spawn_over(&child, kShell, {nullptr, &attributes, shell.arguments, environ}, {});
  constexpr int kNoShell = 127 << 8;
  const int status = failure == 0 ? wait_for(child) : kNoShell;
  posix_spawnattr_destroy(&attributes);
  const int error = failure != 0 ? failure : errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  keyboard().restore();
  if (failure != 0 || status == -1) errno = error;
  return status;
}

FILE* open_shell(const char* command, const char* mode) {
  bool close_on_exec = false;
  const char way = direction(mode, close_on_exec);
  if (way == 0 || !hands_sockets_over({})) return libc::popen(command, mode);
  int ends[2] = {-1, -1};
  if (sys::pipe2(ends, O_CLOEXEC) < 0) return nullptr;
  base::UniqueFd here(ends[way == 'r' ? 0 : 1]);
  const base::UniqueFd there(ends[way == 'r' ? 1 : 0]);
  std::vector<SpawnAction> actions;
  Streams& known = streams();
  const std::lock_guard lock(known.mutex);
  // popen(3): streams from earlier calls are closed in the new child.
  for (const auto& [stream, pid] : known.all)
    actions.push_back({.kind = SpawnAction::kClose, .fd = fileno(stream)});
  const int target = way == 'r' ? STDOUT_FILENO : STDIN_FILENO;
  actions.push_back({.kind = SpawnAction::kDup, .fd = there.get(), .to = target});
  Command shell(command);
  pid_t child = -1;
  const int failure =
      spawn_over(&child, kShell, {nullptr, nullptr, shell.arguments, environ}, actions);
  if (failure != 0) {
    errno = failure;
    return nullptr;
  }
  if (!close_on_exec) sys::fcntl(here.get(), F_SETFD, 0);
  FILE* stream = libc::fdopen(here.get(), way == 'r' ? "r" : "w");
  if (stream == nullptr) return nullptr;
  here.release();
  known.all[stream] = child;
  return stream;
}

int close_shell(FILE* stream) {
  pid_t child = -1;
  {
    Streams& known = streams();
    const std::lock_guard lock(known.mutex);
    const auto at = known.all.find(stream);
    if (at == known.all.end()) return libc::pclose(stream);
    child = at->second;
    known.all.erase(at);
  }
  fclose(stream);
  return wait_for(child);
}

}  // namespace ringway::posix
