#include "posix/context.h"

#include <fcntl.h>
#include <stdlib.h>

#include <atomic>
#include <charconv>
#include <cstring>
#include <mutex>
#include <string>
#include <string_view>

#include "base/sys.h"
#include "posix/epoll.h"
#include "posix/next.h"
#include "posix/own_files.h"
#include "posix/signals.h"

namespace ringway::posix {
namespace {

namespace sys = base::sys;

std::atomic<runtime::Runtime*> g_network{nullptr};
std::atomic<int> g_placeholder{-1};
std::mutex g_joining;
bool g_failed = false;  // under g_joining
// Set once the process has left: a socket made by an exit handler after ours is the kernel's.
std::atomic<bool> g_left{false};
std::atomic<bool (*)(int)> g_own_files{nullptr};

std::string_view environment(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? std::string_view{} : std::string_view{value};
}

void report(std::string_view what) {
  std::string line = "ringway: ";
  line.append(what).append("\n");
  sys::write(STDERR_FILENO, line.data(), line.size());
}

runtime::Options options_of_environment() {
  runtime::Options options;
  if (!environment("RINGWAY_NETWORK").empty()) options.network = environment("RINGWAY_NETWORK");
  options.host = environment("RINGWAY_HOST");
  options.port = environment("RINGWAY_PORT");
  options.program = environment("RINGWAY_PROGRAM");
  if (options.program.empty()) options.program = program_invocation_short_name;
  const std::string_view spin = environment("RINGWAY_SPIN_US");
  std::int64_t microseconds = 0;
  const auto [stop, error] = std::from_chars(spin.data(), spin.data() + spin.size(), microseconds);
  if (!spin.empty() && error == std::errc{} && stop == spin.data() + spin.size()) {
    options.spin = base::Duration::microseconds(microseconds);
  }
  return options;
}

Policy policy_of_environment() {
  auto policy = Policy::parse(environment("RINGWAY_ONLY"), environment("RINGWAY_EXCEPT"));
  if (policy) return std::move(*policy);
  report(policy.error().what);
  return Policy();
}

/// The file behind all placeholders: unconnected, so that raw use of one fails with ENOTCONN. Its
/// own number is moved out of the way of programs that count on low ones.
int placeholder() {
  const int known = g_placeholder.load(std::memory_order_acquire);
  if (known >= 0) return known;
  const int low = sys::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (low < 0) return -errno;
  constexpr long kOutOfTheWay = 700;
  int fd = sys::fcntl(low, F_DUPFD_CLOEXEC, kOutOfTheWay);
  if (fd < 0) {
    fd = low;
  } else {
    sys::close(low);
  }
  int expected = -1;
  if (g_placeholder.compare_exchange_strong(expected, fd)) return fd;
  sys::close(fd);
  return expected;
}

}  // namespace

runtime::Runtime* network() { return g_network.load(std::memory_order_acquire); }

runtime::Runtime* join() {
  runtime::Runtime* joined = network();
  if (joined != nullptr) [[likely]]
    return joined;
  const std::lock_guard lock(g_joining);
  joined = network();
  if (joined != nullptr || g_failed || g_left.load()) return joined;
  auto opened = runtime::Runtime::open(options_of_environment());
  if (!opened) {
    g_failed = true;
    report(opened.error().what);
    return nullptr;
  }
  runtime::Runtime::set_deferred_signal_hook(&run_deferred_signals);
  if (const std::string said = (*opened)->port_description(); !said.empty()) report(said);
  joined = opened->release();  // lives as long as the process: threads may be inside at exit
  g_network.store(joined, std::memory_order_release);
  return joined;
}

void take_over_network(std::span<const runtime::StackHandover> handed,
                       std::span<const runtime::SocketId> kept) {
  runtime::Runtime::set_deferred_signal_hook(&run_deferred_signals);
  g_network.store(runtime::Runtime::take_over(options_of_environment(), handed, kept).release(),
                  std::memory_order_release);
}

bool has_left() { return g_left.load(); }

bool falls_back_to_kernel() { return environment("RINGWAY_FALLBACK") == "kernel" || g_left.load(); }

const Policy& policy() {
  // Never destroyed: sockets are used until the very end of a process.
  static const Policy* const policy = new Policy(policy_of_environment());
  return *policy;
}

int new_placeholder(bool close_on_exec) {
  const int base = placeholder();
  if (base < 0) return base;
  const int fd = sys::fcntl(base, close_on_exec ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
  return fd < 0 ? -errno : fd;
}

void set_own_files(bool (*owns)(int fd)) { g_own_files.store(owns); }

void put_placeholder(int fd, bool close_on_exec) {
  sys::dup3(placeholder(), fd, close_on_exec ? O_CLOEXEC : 0);
}

bool is_internal(int fd) {
  if (fd < 0) return false;
  const auto owns = g_own_files.load(std::memory_order_relaxed);
  if (owns != nullptr && owns(fd)) return true;
  if (fd == g_placeholder.load(std::memory_order_relaxed) || is_bell(fd)) return true;
  const runtime::Runtime* joined = network();
  return joined != nullptr && joined->owns_fd(fd);
}

void leave_network() {
  runtime::Runtime* joined = network();
  if (joined == nullptr || g_left.exchange(true)) return;
  // No fd means a stack socket any more, before the stacks go.
  for (int fd = 0; fd < fds.limit(); ++fd) fds.remove(fd);
  joined->leave();
}

pid_t fork_process() {
  runtime::Runtime* joined = network();
  if (joined == nullptr || g_left.load()) return libc::fork();
  lock_interests();
  joined->before_fork();
  const pid_t child = libc::fork();
  const KeepErrno keep;
  unlock_interests();
  if (child == 0) {
    joined->after_fork_child();
  } else {
    joined->after_fork_parent(child);
  }
  return child;
}

}  // namespace ringway::posix
