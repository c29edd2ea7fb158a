// rw-short: connect, some requests, close; again and again, several at a time from one epoll loop.
//
// The client closes first, as most clients do, so TIME-WAIT stays with it. At 25,000 connections a
// second one server port would run out of client ports in about a second (28,232 of them,
// ip_local_port_range), and the test would measure the search for a free port. So the server
// listens on several ports and the client takes them in turn. No SO_LINGER, no sysctl: both sides
// of a comparison run exactly this.

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "echo_server.h"
#include "latencies.h"
#include "sockets.h"
#include "tools.h"

namespace {

constexpr const char* kUsage =
    "rw-short server --port PORT [--ports 8] [--spin] [--cpu N] [--cc NAME]\n"
    "rw-short client --connect HOST:PORT [--ports 8] [--messages 1] [--concurrent 16] [--size 64]\n"
    "         [--seconds 2] [--warm-up 0.2] [--spin] [--cpu N] [--cc NAME]";

struct Options {
  plain::Target target;
  std::uint16_t ports = 8;
  unsigned messages = 1;
  std::size_t concurrent = 16;
  std::size_t size = 64;
  double seconds = 2;
  double warm_up = 0.2;
  bool spin = false;
  std::string congestion;
};

struct Slot {
  int fd = -1;
  bool connected = false;
  unsigned answered = 0;
  std::size_t received = 0;
  std::uint64_t started_at = 0;
};

class Client {
 public:
  explicit Client(const Options& options)
      : options_(options),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        slots_(options.concurrent),
        message_(options.size, 'x') {
    if (epoll_ < 0) plain::die("epoll_create1");
  }

  void run() {
    for (Slot& slot : slots_) start(slot);
    loop_until(plain::ticks() + clock_.ticks_of_seconds(options_.warm_up));
    latencies_ = {};
    const double cpu_start = plain::cpu_seconds();
    const std::uint64_t begin = plain::ticks();
    loop_until(begin + clock_.ticks_of_seconds(options_.seconds));
    const double seconds =
        static_cast<double>(plain::ticks() - begin) * clock_.nanoseconds_per_tick() / 1e9;
    print(seconds, plain::cpu_seconds() - cpu_start);
    finishing_ = true;
    while (open_ > 0) turn(5000);
  }

 private:
  void loop_until(std::uint64_t end) {
    while (plain::ticks() < end) turn(options_.spin ? 0 : 5000);
  }

  void turn(int timeout) {
    std::array<epoll_event, 64> events{};
    const int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout);
    if (ready < 0 && errno != EINTR) plain::die("epoll_wait");
    errno = 0;
    if (ready == 0 && timeout > 0) plain::die("no event on any connection for 5 s");
    for (int i = 0; i < ready; ++i) handle(slots_[events[static_cast<std::size_t>(i)].data.u64]);
  }

  void start(Slot& slot) {
    plain::Target target = options_.target;
    target.port = static_cast<std::uint16_t>(target.port + next_port_);
    next_port_ = static_cast<std::uint16_t>((next_port_ + 1) % options_.ports);
    slot = {};
    slot.started_at = plain::ticks();
    slot.fd = plain::begin_connect_tcp(target, options_.congestion, slot.connected);
    ++open_;
    watch(slot, EPOLL_CTL_ADD, slot.connected ? EPOLLIN : EPOLLOUT);
    if (slot.connected) request(slot);
  }

  void watch(const Slot& slot, int operation, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = static_cast<std::uint64_t>(&slot - slots_.data());
    if (epoll_ctl(epoll_, operation, slot.fd, &event) != 0) plain::die("epoll_ctl");
  }

  void handle(Slot& slot) {
    if (slot.connected) {
      receive(slot);
      return;
    }
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(slot.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) {
      errno = error;
      plain::die("connect");
    }
    slot.connected = true;
    watch(slot, EPOLL_CTL_MOD, EPOLLIN);
    request(slot);
  }

  void request(Slot& slot) {
    ++requests_;
    plain::send_all(slot.fd, message_.data(), message_.size());
  }

  void receive(Slot& slot) {
    const ssize_t got = recv(slot.fd, buffer_.data(), options_.size - slot.received, 0);
    if (got < 0 && plain::would_block()) return;
    if (got <= 0) plain::die("the server closed a connection");
    slot.received += static_cast<std::size_t>(got);
    if (slot.received < options_.size) return;
    slot.received = 0;
    if (++slot.answered < options_.messages) {
      request(slot);
      return;
    }
    close(slot.fd);
    --open_;
    latencies_.add(plain::ticks() - slot.started_at);
    if (!finishing_) start(slot);
  }

  void print(double seconds, double cpu) const {
    std::printf(
        "{\"program\":\"rw-short\",\"role\":\"client\",\"messages\":%u,\"concurrent\":%zu,"
        "\"size\":%zu,\"requests\":%llu,\"seconds\":%.6f,\"rate\":%.1f,%s,\"cpu_seconds\":%.6f}\n",
        options_.messages, slots_.size(), options_.size, static_cast<unsigned long long>(requests_),
        seconds, static_cast<double>(latencies_.count()) / seconds,
        latencies_.json(clock_.nanoseconds_per_tick()).c_str(), cpu);
    std::fflush(stdout);
  }

  const Options& options_;
  plain::TickClock clock_;
  int epoll_;
  std::vector<Slot> slots_;
  std::vector<char> message_;
  std::array<char, 65536> buffer_{};
  plain::Latencies latencies_;
  std::uint64_t requests_ = 0;
  std::uint16_t next_port_ = 0;
  std::size_t open_ = 0;
  bool finishing_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  plain::Args args(argc, argv, "spin", kUsage);
  plain::pin(args.whole("cpu", -1));
  const auto ports = static_cast<std::uint16_t>(args.whole("ports", 8));
  if (ports == 0) plain::die("--ports is at least 1");
  if (args.role() == "server") {
    plain::EchoOptions options;
    options.port = static_cast<std::uint16_t>(args.whole("port", 7000));
    options.ports = ports;
    options.spin = args.flag("spin");
    options.congestion = args.text("cc", "");
    args.finish();
    plain::run_echo_server(options, "rw-short");
    return 0;
  }
  Options options;
  options.target = plain::parse_target(args.text("connect", "127.0.0.1:7000"));
  options.ports = ports;
  options.messages = static_cast<unsigned>(args.whole("messages", 1));
  options.concurrent = static_cast<std::size_t>(args.whole("concurrent", 16));
  options.size = static_cast<std::size_t>(args.whole("size", 64));
  options.seconds = args.number("seconds", 2);
  options.warm_up = args.number("warm-up", 0.2);
  options.spin = args.flag("spin");
  options.congestion = args.text("cc", "");
  args.finish();
  if (options.size == 0 || options.size > 65536) plain::die("--size is 1 to 65536");
  if (options.messages == 0 || options.concurrent == 0)
    plain::die("--messages and --concurrent are at least 1");
  Client(options).run();
  return 0;
}
