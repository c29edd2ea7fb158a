#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace ringway::bench {

struct Command {
  std::vector<std::string> argv;  // argv[0] is searched in PATH
  int cpu = -1;                   // pinned to this core; -1: not pinned
};

struct Exit {
  int status = 0;          // exit status, or 128 + signal
  double cpu_seconds = 0;  // of the process and the children that it waited for
};

/// A child in a process group of its own, its output kept in memory. Whatever happens, the group is
/// gone when this object is: also if this program is killed, the direct child dies with it
/// (PR_SET_PDEATHSIG).
class Process {
 public:
  static base::Result<Process> start(const Command& command);

  Process(Process&& other) noexcept;
  Process& operator=(Process&&) = delete;
  ~Process();

  /// Waits until the output (or the error output) contains `text`. Fails if the process ends
  /// before, or after `limit`.
  base::Result<void> wait_for_text(const std::string& text, base::Duration limit);

  /// Waits for the end; after `limit` the group is killed and kTimeout returned.
  base::Result<Exit> wait(base::Duration limit);

  /// SIGTERM, `grace` to end, then SIGKILL to the group.
  void stop(base::Duration grace);

  pid_t group() const { return pid_; }
  std::string output() const;
  std::string errors() const;

  /// The last line that it printed to stderr, or else to stdout: why it failed, most likely.
  std::string last_words() const;

 private:
  Process(pid_t pid, int pidfd, int output_fd, int error_fd)
      : pid_(pid), pidfd_(pidfd), output_fd_(output_fd), error_fd_(error_fd) {}
  bool ended_within(base::Duration limit) const;
  void reap();

  pid_t pid_;
  int pidfd_;
  int output_fd_;
  int error_fd_;
  bool reaped_ = false;
  Exit exit_;
};

/// Runs to the end; fails if it cannot start, takes longer than `limit` or exits with another
/// status than 0.
base::Result<std::string> run_to_end(const Command& command, base::Duration limit);

/// Full path of a program in PATH or the sbin folders; empty if there is none.
std::string find_program(const std::string& name);

/// From now on SIGINT, SIGTERM and SIGHUP only make interrupted() true, and every wait above ends
/// early.
void catch_interrupts();
bool interrupted();

/// Monotone time of this machine.
base::Instant now();

}  // namespace ringway::bench
