#include "bench/runner/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <sstream>

#include "bench/runner/sweeper.h"

namespace ringway::bench {
namespace {

using base::Duration;
using base::ErrorCode;
using base::Instant;
using base::Result;

volatile std::sig_atomic_t interrupt_seen = 0;

void note_interrupt(int) { interrupt_seen = 1; }

std::string read_file(int fd) {
  struct stat info {};
  if (fstat(fd, &info) != 0 || info.st_size == 0) return {};
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  const ssize_t got = pread(fd, text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

std::string last_line(const std::string& text) {
  std::istringstream lines(text);
  std::string last;
  for (std::string line; std::getline(lines, line);) {
    if (line.find_first_not_of(" \t\r") != std::string::npos) last = line;
  }
  return last;
}

/// In the child: nothing but system calls until exec. Only errors come back.
[[noreturn]] void become(char* const* argv, int cpu, int output_fd, int error_fd, pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  if (cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(cpu), &set);
    sched_setaffinity(0, sizeof set, &set);
  }
  const int null_fd = open("/dev/null", O_RDONLY);
  dup2(null_fd, 0);
  dup2(output_fd, 1);
  dup2(error_fd, 2);
  execvp(argv[0], argv);
  const char message[] = "cannot be started\n";
  [[maybe_unused]] const ssize_t written = write(2, message, sizeof message - 1);
  _exit(127);
}

int memory_file(const char* name) { return memfd_create(name, MFD_CLOEXEC); }

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = note_interrupt;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaction(number, &action, nullptr);
}

bool interrupted() { return interrupt_seen != 0; }

Instant now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return Instant{time.tv_sec * 1'000'000'000 + time.tv_nsec};
}

Result<Process> Process::start(const Command& command) {
  std::vector<char*> argv;
  for (const std::string& word : command.argv) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const int output_fd = memory_file("output");
  const int error_fd = memory_file("errors");
  if (output_fd < 0 || error_fd < 0) return base::fail_errno("memfd_create");
  // Appending: more than one process of the group may write.
  fcntl(output_fd, F_SETFL, O_APPEND);
  fcntl(error_fd, F_SETFL, O_APPEND);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return base::fail_errno("fork");
  if (pid == 0) become(argv.data(), command.cpu, output_fd, error_fd, parent);
  setpgid(pid, pid);
  sweep_group(pid);
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  Process process(pid, pidfd, output_fd, error_fd);
  if (pidfd < 0) return base::fail_errno("pidfd_open");
  return process;
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::exchange(other.pidfd_, -1)),
      output_fd_(std::exchange(other.output_fd_, -1)),
      error_fd_(std::exchange(other.error_fd_, -1)),
      reaped_(other.reaped_),
      exit_(other.exit_) {}

Process::~Process() {
  if (pid_ < 0) return;
  stop(Duration::milliseconds(0));
  for (const int fd : {pidfd_, output_fd_, error_fd_}) {
    if (fd >= 0) close(fd);
  }
}

bool Process::ended_within(Duration limit) const {
  const Instant end = now() + limit;
  for (;;) {
    pollfd entry{pidfd_, POLLIN, 0};
    const std::int64_t left = std::clamp<std::int64_t>((end - now()).milliseconds(), 0, 500);
    if (poll(&entry, 1, static_cast<int>(left)) > 0) return true;
    if (interrupted() || now() >= end) return false;
  }
}

void Process::reap() {
  if (reaped_) return;
  forget_group(pid_);
  int status = 0;
  rusage usage{};
  if (wait4(pid_, &status, 0, &usage) == pid_) {
    exit_.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    exit_.cpu_seconds = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                        1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  }
  reaped_ = true;
}

void Process::stop(Duration grace) {
  if (!reaped_) {
    if (grace.ns > 0) {
      kill(pid_, SIGTERM);
      ended_within(grace);
    }
    // Before reaping: as long as the leader is not reaped, its number cannot belong to somebody
    // else.
    kill(-pid_, SIGKILL);
    reap();
  }
}

Result<void> Process::wait_for_text(const std::string& text, Duration limit) {
  const Instant end = now() + limit;
  while (now() < end && !interrupted()) {
    const bool ended = ended_within(Duration::milliseconds(5));
    if (output().find(text) != std::string::npos || errors().find(text) != std::string::npos) {
      return {};
    }
    if (ended) return base::fail(ErrorCode::kUnavailable, "ended at once: " + last_words());
  }
  if (interrupted()) return base::fail(ErrorCode::kTimeout, "interrupted");
  return base::fail(ErrorCode::kTimeout, fmt::format("not ready after {} s: {}",
                                                     limit.milliseconds() / 1000, last_words()));
}

Result<Exit> Process::wait(Duration limit) {
  const bool ended = ended_within(limit);
  // What the leader left behind in its group is of no use to anybody.
  kill(-pid_, SIGKILL);
  reap();
  if (interrupted()) return base::fail(ErrorCode::kTimeout, "interrupted");
  if (!ended) {
    return base::fail(ErrorCode::kTimeout, fmt::format("no end after {} s: {}",
                                                       limit.milliseconds() / 1000, last_words()));
  }
  return exit_;
}

std::string Process::output() const { return read_file(output_fd_); }
std::string Process::errors() const { return read_file(error_fd_); }

std::string Process::last_words() const {
  std::string words = last_line(errors());
  if (words.empty()) words = last_line(output());
  return words.empty() ? "(it printed nothing)" : words;
}

Result<std::string> run_to_end(const Command& command, Duration limit) {
  Result<Process> process = Process::start(command);
  if (!process) return tl::unexpected(process.error());
  const Result<Exit> exit = process->wait(limit);
  if (!exit) return tl::unexpected(exit.error());
  if (exit->status != 0) {
    return base::fail(ErrorCode::kUnavailable,
                      fmt::format("exit status {}: {}", exit->status, process->last_words()));
  }
  return process->output();
}

std::string find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(std::string(path == nullptr ? "" : path) +
                             ":/usr/sbin:/usr/local/sbin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::string candidate = folder;
    candidate.append("/").append(name);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

}  // namespace ringway::bench
