#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace plain {

/// Prints `what` (and errno's text if it is set) to stderr and exits with 1.
[[noreturn]] void die(const std::string& what);

/// "program ROLE --name value --flag": names that nobody asked for are refused by finish().
class Args {
 public:
  /// `flags` lists the names without a value, separated by spaces. Prints `usage` and exits on
  /// --help.
  Args(int argc, char** argv, const std::string& flags, const std::string& usage);

  const std::string& role() const { return role_; }
  bool flag(const std::string& name);
  std::string text(const std::string& name, const std::string& otherwise);
  double number(const std::string& name, double otherwise);
  std::int64_t whole(const std::string& name, std::int64_t otherwise);
  void finish() const;

 private:
  std::string role_;
  std::map<std::string, std::string> values_;
};

/// Time stamp counter of the CPU (a clock_gettime elsewhere): the cheapest time there is.
std::uint64_t ticks();

/// Turns ticks into time; the longer it lives, the more exact it is. Sleeps 10 ms when made.
class TickClock {
 public:
  TickClock();
  double nanoseconds_per_tick() const;
  std::uint64_t ticks_of_seconds(double seconds) const;

 private:
  std::uint64_t start_ticks_;
  std::uint64_t start_ns_;
};

/// CPU time, user and system, of this process with all its threads.
double cpu_seconds();

/// Voluntary and involuntary context switches of this process.
std::int64_t context_switches();

/// Pins the process to one core; a negative number leaves it as it is.
void pin(std::int64_t cpu);

/// From now on SIGTERM and SIGINT only make stopping() true; system calls are interrupted.
void stop_on_signals();
bool stopping();

/// Tells whoever started a server that it can be connected to.
void print_ready();

}  // namespace plain
