// rw-idle: an open connection with nothing to do. Both sides sleep in epoll_wait and report what
// that cost.

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <string>

#include "sockets.h"
#include "tools.h"

namespace {

constexpr const char* kUsage =
    "rw-idle server --port PORT [--seconds 5] [--settle 0.5] [--cpu N]\n"
    "rw-idle client --connect HOST:PORT [--seconds 5] [--settle 0.5] [--cpu N]";

using Clock = std::chrono::steady_clock;

void watch(int epoll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) plain::die("epoll_ctl");
}

/// Nothing is expected: an event ends it early, which the printed seconds show.
void sleep_in_epoll(int epoll, double seconds) {
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (!plain::stopping()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    if (left <= 0) return;
    epoll_event event{};
    if (epoll_wait(epoll, &event, 1, static_cast<int>(left)) > 0) return;
  }
}

void measure(int epoll, const std::string& role, double settle, double seconds) {
  sleep_in_epoll(epoll, settle);
  const double cpu_start = plain::cpu_seconds();
  const auto switches_start = plain::context_switches();
  const auto start = Clock::now();
  sleep_in_epoll(epoll, seconds);
  const double passed = std::chrono::duration<double>(Clock::now() - start).count();
  const double cpu = plain::cpu_seconds() - cpu_start;
  std::printf(
      "{\"program\":\"rw-idle\",\"role\":\"%s\",\"requests\":1,\"seconds\":%.6f,\"cpu_seconds\":%."
      "6f,"
      "\"cpu_percent\":%.4f,\"context_switches\":%lld}\n",
      role.c_str(), passed, cpu, 100 * cpu / std::max(passed, 1e-3),
      static_cast<long long>(plain::context_switches() - switches_start));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  plain::Args args(argc, argv, "", kUsage);
  plain::pin(args.whole("cpu", -1));
  plain::stop_on_signals();
  const double seconds = args.number("seconds", 5);
  const double settle = args.number("settle", 0.5);
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) plain::die("epoll_create1");
  char byte = 'x';
  if (args.role() == "server") {
    const auto port = static_cast<std::uint16_t>(args.whole("port", 7000));
    args.finish();
    const int listener = plain::listen_tcp(port, "");
    plain::print_ready();
    const int fd = accept(listener, nullptr, nullptr);
    if (fd < 0) plain::die("accept");
    if (!plain::receive_all(fd, &byte, 1)) plain::die("the client closed the connection");
    plain::send_all(fd, &byte, 1);
    watch(epoll, listener);
    watch(epoll, fd);
    measure(epoll, args.role(), settle, seconds);
    // The client may still sleep: the connection stays open until it goes.
    plain::receive_all(fd, &byte, 1);
  } else {
    const plain::Target target = plain::parse_target(args.text("connect", "127.0.0.1:7000"));
    args.finish();
    const int fd = plain::connect_tcp(target, "");
    plain::send_all(fd, &byte, 1);
    if (!plain::receive_all(fd, &byte, 1)) plain::die("the server closed the connection");
    watch(epoll, fd);
    measure(epoll, args.role(), settle, seconds);
  }
  return 0;
}
