#include "tools.h"

#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <sstream>
#include <vector>

namespace plain {
namespace {

volatile std::sig_atomic_t stop_requested = 0;

void request_stop(int) { stop_requested = 1; }

std::uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

rusage usage() {
  rusage now{};
  getrusage(RUSAGE_SELF, &now);
  return now;
}

}  // namespace

void die(const std::string& what) {
  if (errno != 0) {
    std::fprintf(stderr, "%s: %s\n", what.c_str(), std::strerror(errno));
  } else {
    std::fprintf(stderr, "%s\n", what.c_str());
  }
  std::exit(1);
}

Args::Args(int argc, char** argv, const std::string& flags, const std::string& usage) {
  std::istringstream words(flags);
  const std::vector<std::string> known{std::istream_iterator<std::string>(words), {}};
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    if (word == "--help") {
      std::printf("%s\n", usage.c_str());
      std::exit(0);
    }
    if (word.rfind("--", 0) != 0) {
      if (!role_.empty()) die("unexpected argument " + word);
      role_ = word;
      continue;
    }
    const std::string name = word.substr(2);
    const auto asked = [&name](const std::string& flag) { return flag == name; };
    if (std::any_of(known.begin(), known.end(), asked)) {
      values_[name] = "yes";
    } else if (i + 1 < argc) {
      values_[name] = argv[++i];
    } else {
      die(word + " needs a value");
    }
  }
  if (role_ != "server" && role_ != "client") {
    die("the first argument must be 'server' or 'client'\n" + usage);
  }
}

std::string Args::text(const std::string& name, const std::string& otherwise) {
  const auto found = values_.find(name);
  if (found == values_.end()) return otherwise;
  std::string value = found->second;
  values_.erase(found);
  return value;
}

bool Args::flag(const std::string& name) { return !text(name, "").empty(); }

double Args::number(const std::string& name, double otherwise) {
  const std::string value = text(name, "");
  if (value.empty()) return otherwise;
  char* end = nullptr;
  const double parsed = std::strtod(value.c_str(), &end);
  if (*end != '\0') die("--" + name + " needs a number, not '" + value + "'");
  return parsed;
}

std::int64_t Args::whole(const std::string& name, std::int64_t otherwise) {
  return static_cast<std::int64_t>(number(name, static_cast<double>(otherwise)));
}

void Args::finish() const {
  if (!values_.empty()) die("unknown option --" + values_.begin()->first + " (see --help)");
}

std::uint64_t ticks() {
#if defined(__x86_64__)
  return __rdtsc();
#else
  return monotonic_ns();
#endif
}

TickClock::TickClock() : start_ticks_(ticks()), start_ns_(monotonic_ns()) {
  const timespec pause{0, 10'000'000};
  nanosleep(&pause, nullptr);
}

double TickClock::nanoseconds_per_tick() const {
  const std::uint64_t passed = ticks() - start_ticks_;
  return static_cast<double>(monotonic_ns() - start_ns_) / static_cast<double>(passed);
}

std::uint64_t TickClock::ticks_of_seconds(double seconds) const {
  return static_cast<std::uint64_t>(seconds * 1e9 / nanoseconds_per_tick());
}

double cpu_seconds() {
  const rusage now = usage();
  return static_cast<double>(now.ru_utime.tv_sec + now.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(now.ru_utime.tv_usec + now.ru_stime.tv_usec);
}

std::int64_t context_switches() {
  const rusage now = usage();
  return now.ru_nvcsw + now.ru_nivcsw;
}

void pin(std::int64_t cpu) {
  if (cpu < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) die("cannot pin to cpu " + std::to_string(cpu));
}

void stop_on_signals() {
  struct sigaction action {};
  action.sa_handler = request_stop;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

bool stopping() { return stop_requested != 0; }

void print_ready() {
  std::printf("ready\n");
  std::fflush(stdout);
}

}  // namespace plain
