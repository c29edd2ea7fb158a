// rw-rr: one thread with many connections, each with one request under way; an epoll loop on both
// sides.

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
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
    "rw-rr server --port PORT [--spin] [--cpu N] [--cc NAME]\n"
    "rw-rr client --connect HOST:PORT [--connections 100] [--size 64] [--seconds 2] [--warm-up "
    "0.2]\n"
    "      [--spin] [--cpu N] [--cc NAME]";

struct Options {
  plain::Target target;
  std::size_t connections = 100;
  std::size_t size = 64;
  double seconds = 2;
  double warm_up = 0.2;
  bool spin = false;
  std::string congestion;
};

struct Connection {
  int fd = -1;
  std::size_t received = 0;
  std::uint64_t sequence = 0;
  std::uint64_t sent_at = 0;
};

class Client {
 public:
  explicit Client(const Options& options)
      : options_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)), message_(options.size, 'x') {
    if (epoll_ < 0) plain::die("epoll_create1");
    connections_.resize(options.connections);
    for (std::size_t i = 0; i < connections_.size(); ++i) {
      connections_[i].fd = plain::connect_tcp(options.target, options.congestion);
      plain::set_nonblocking(connections_[i].fd);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = i;
      if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_[i].fd, &event) != 0) {
        plain::die("epoll_ctl");
      }
    }
  }

  void run() {
    const std::uint64_t begin = plain::ticks();
    for (Connection& connection : connections_) request(connection, begin);
    loop_until(begin + clock_.ticks_of_seconds(options_.warm_up));
    latencies_ = {};
    const double cpu_start = plain::cpu_seconds();
    const std::uint64_t start = plain::ticks();
    loop_until(start + clock_.ticks_of_seconds(options_.seconds));
    const double seconds =
        static_cast<double>(plain::ticks() - start) * clock_.nanoseconds_per_tick() / 1e9;
    print(seconds, plain::cpu_seconds() - cpu_start);
    finish();
  }

 private:
  void loop_until(std::uint64_t end) {
    while (plain::ticks() < end) turn(options_.spin ? 0 : 5000);
  }

  void turn(int timeout) {
    std::array<epoll_event, 256> events{};
    const int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout);
    if (ready < 0 && errno != EINTR) plain::die("epoll_wait");
    errno = 0;
    if (ready == 0 && timeout > 0) plain::die("no answer on any connection for 5 s");
    for (int i = 0; i < ready; ++i) {
      receive(connections_[events[static_cast<std::size_t>(i)].data.u64]);
    }
  }

  void request(Connection& connection, std::uint64_t now) {
    connection.sent_at = now;
    connection.received = 0;
    ++connection.sequence;
    std::memcpy(message_.data(), &connection.sequence, sizeof connection.sequence);
    plain::send_all(connection.fd, message_.data(), message_.size());
    ++under_way_;
  }

  void receive(Connection& connection) {
    const std::size_t wanted = options_.size - connection.received;
    const ssize_t got = recv(connection.fd, buffer_.data(), wanted, 0);
    if (got < 0 && plain::would_block()) return;
    if (got <= 0) plain::die("the server closed a connection");
    const auto length = static_cast<std::size_t>(got);
    if (connection.received == 0 && length >= sizeof connection.sequence &&
        std::memcmp(buffer_.data(), &connection.sequence, sizeof connection.sequence) != 0) {
      errno = 0;
      plain::die("the answer differs from the request");
    }
    connection.received += length;
    if (connection.received < options_.size) return;
    --under_way_;
    ++answers_;
    const std::uint64_t now = plain::ticks();
    latencies_.add(now - connection.sent_at);
    if (!finishing_) request(connection, now);
  }

  /// Takes the last answers, so that no connection is closed with data in it.
  void finish() {
    finishing_ = true;
    while (under_way_ > 0) turn(5000);
    for (const Connection& connection : connections_) close(connection.fd);
  }

  void print(double seconds, double cpu) const {
    std::printf(
        "{\"program\":\"rw-rr\",\"role\":\"client\",\"connections\":%zu,\"size\":%zu,"
        "\"requests\":%llu,\"seconds\":%.6f,\"rate\":%.1f,%s,\"cpu_seconds\":%.6f}\n",
        connections_.size(), options_.size, static_cast<unsigned long long>(answers_), seconds,
        static_cast<double>(latencies_.count()) / seconds,
        latencies_.json(clock_.nanoseconds_per_tick()).c_str(), cpu);
    std::fflush(stdout);
  }

  const Options& options_;
  plain::TickClock clock_;
  int epoll_;
  std::vector<Connection> connections_;
  std::vector<char> message_;
  std::array<char, 65536> buffer_{};
  plain::Latencies latencies_;
  std::uint64_t answers_ = 0;
  std::size_t under_way_ = 0;
  bool finishing_ = false;
};

void raise_file_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  plain::Args args(argc, argv, "spin", kUsage);
  plain::pin(args.whole("cpu", -1));
  raise_file_limit();
  if (args.role() == "server") {
    plain::EchoOptions options;
    options.port = static_cast<std::uint16_t>(args.whole("port", 7000));
    options.spin = args.flag("spin");
    options.congestion = args.text("cc", "");
    args.finish();
    plain::run_echo_server(options, "rw-rr");
    return 0;
  }
  Options options;
  options.target = plain::parse_target(args.text("connect", "127.0.0.1:7000"));
  options.connections = static_cast<std::size_t>(args.whole("connections", 100));
  options.size = static_cast<std::size_t>(args.whole("size", 64));
  options.seconds = args.number("seconds", 2);
  options.warm_up = args.number("warm-up", 0.2);
  options.spin = args.flag("spin");
  options.congestion = args.text("cc", "");
  args.finish();
  if (options.size < 8 || options.size > 65536) plain::die("--size is 8 to 65536");
  if (options.connections == 0) plain::die("--connections is at least 1");
  Client(options).run();
  return 0;
}
