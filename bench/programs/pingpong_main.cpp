// rw-pingpong: one message goes there and back, over TCP or UDP, blocking or spinning.

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "latencies.h"
#include "sockets.h"
#include "tools.h"

namespace {

constexpr const char* kUsage =
    "rw-pingpong server --port PORT [--mode spin|blocking] [--udp] [--size 64] [--cpu N] [--cc "
    "NAME]\n"
    "rw-pingpong client --connect HOST:PORT [--mode spin|blocking] [--udp] [--size 64] [--seconds "
    "2]\n"
    "            [--warm-up 0.2] [--count N] [--cpu N] [--cc NAME]";

struct Options {
  bool server = false;
  bool spin = true;
  bool udp = false;
  std::size_t size = 64;
  std::uint16_t port = 0;
  plain::Target target;
  double seconds = 2;
  double warm_up = 0.2;
  std::uint64_t count = 0;
  std::string congestion;
};

Options parse(int argc, char** argv) {
  plain::Args args(argc, argv, "udp", kUsage);
  Options options;
  options.server = args.role() == "server";
  const std::string mode = args.text("mode", "spin");
  if (mode != "spin" && mode != "blocking") plain::die("--mode is spin or blocking");
  options.spin = mode == "spin";
  options.udp = args.flag("udp");
  options.size = static_cast<std::size_t>(args.whole("size", 64));
  if (options.size < 8 || options.size > 65000) plain::die("--size is 8 to 65000");
  options.congestion = args.text("cc", "");
  plain::pin(args.whole("cpu", -1));
  if (options.server) {
    options.port = static_cast<std::uint16_t>(args.whole("port", 7000));
  } else {
    options.target = plain::parse_target(args.text("connect", "127.0.0.1:7000"));
    options.seconds = args.number("seconds", 2);
    options.warm_up = args.number("warm-up", 0.2);
    options.count = static_cast<std::uint64_t>(args.whole("count", 0));
  }
  args.finish();
  return options;
}

void print_server(std::uint64_t messages, double cpu) {
  std::printf(
      "{\"program\":\"rw-pingpong\",\"role\":\"server\",\"messages\":%llu,\"cpu_seconds\":%.6f}\n",
      static_cast<unsigned long long>(messages), cpu);
  std::fflush(stdout);
}

void serve_tcp(const Options& options) {
  const int listener = plain::listen_tcp(options.port, options.congestion);
  std::vector<char> message(options.size);
  plain::print_ready();
  while (!plain::stopping()) {
    const int fd = accept(listener, nullptr, nullptr);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      plain::die("accept");
    }
    const double cpu_start = plain::cpu_seconds();
    plain::set_no_delay(fd);
    if (options.spin) plain::set_nonblocking(fd);
    std::uint64_t messages = 0;
    while (plain::receive_all(fd, message.data(), message.size())) {
      plain::send_all(fd, message.data(), message.size());
      ++messages;
    }
    close(fd);
    print_server(messages, plain::cpu_seconds() - cpu_start);
  }
}

void serve_udp(const Options& options) {
  const int fd = plain::bind_udp(options.port);
  std::vector<char> message(65536);
  std::uint64_t messages = 0;
  double cpu_start = 0;
  plain::print_ready();
  while (!plain::stopping()) {
    sockaddr_in from{};
    socklen_t length = sizeof from;
    // Sleeps for the first datagram even when spinning, as the TCP server does in accept().
    const int flags = options.spin && messages > 0 ? MSG_DONTWAIT : 0;
    const ssize_t got = recvfrom(fd, message.data(), message.size(), flags,
                                 reinterpret_cast<sockaddr*>(&from), &length);
    if (got < 0) {
      if (plain::would_block()) continue;
      plain::die("recvfrom");
    }
    if (messages++ == 0) cpu_start = plain::cpu_seconds();
    if (sendto(fd, message.data(), static_cast<std::size_t>(got), 0,
               reinterpret_cast<sockaddr*>(&from), length) != got) {
      plain::die("sendto");
    }
  }
  print_server(messages, messages == 0 ? 0 : plain::cpu_seconds() - cpu_start);
}

class Client {
 public:
  explicit Client(const Options& options) : options_(options), message_(options.size, 'x') {
    fd_ = options.udp ? plain::connect_udp(options.target)
                      : plain::connect_tcp(options.target, options.congestion);
    if (options.spin) {
      plain::set_nonblocking(fd_);
    } else if (options.udp) {
      const timeval limit{1, 0};
      setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    }
  }

  void run() {
    play(options_.warm_up, 0);
    latencies_ = {};
    const double cpu_start = plain::cpu_seconds();
    const std::uint64_t start = plain::ticks();
    play(options_.seconds, options_.count);
    const double seconds =
        static_cast<double>(plain::ticks() - start) * clock_.nanoseconds_per_tick() / 1e9;
    print(seconds, plain::cpu_seconds() - cpu_start);
    close(fd_);
  }

 private:
  void play(double seconds, std::uint64_t count) {
    const std::uint64_t length = clock_.ticks_of_seconds(seconds);
    const std::uint64_t start = plain::ticks();
    std::uint64_t before = start;
    for (std::uint64_t done = 0; count == 0 ? before - start < length : done < count; ++done) {
      ++sequence_;
      std::memcpy(message_.data(), &sequence_, sizeof sequence_);
      const bool answered = options_.udp ? exchange_udp(before) : exchange_tcp();
      const std::uint64_t now = plain::ticks();
      if (answered) latencies_.add(now - before);
      before = now;
    }
  }

  bool exchange_tcp() {
    plain::send_all(fd_, message_.data(), message_.size());
    if (!plain::receive_all(fd_, message_.data(), message_.size())) {
      plain::die("the server closed the connection");
    }
    if (!is_answer()) {
      errno = 0;
      plain::die("the answer differs from the request");
    }
    return true;
  }

  /// A datagram may be lost: false after a second without the answer.
  bool exchange_udp(std::uint64_t start) {
    if (send(fd_, message_.data(), message_.size(), 0) < 0) plain::die("send");
    const std::uint64_t limit = clock_.ticks_of_seconds(1);
    for (std::uint64_t turn = 1;; ++turn) {
      const ssize_t got = recv(fd_, message_.data(), message_.size(), 0);
      if (got == static_cast<ssize_t>(message_.size()) && is_answer()) return true;
      if (got < 0 && !plain::would_block()) plain::die("recv");
      const bool look_at_time = !options_.spin || (turn & 0xfff) == 0;
      if (look_at_time && plain::ticks() - start >= limit) {
        ++lost_;
        return false;
      }
    }
  }

  bool is_answer() const { return std::memcmp(message_.data(), &sequence_, sizeof sequence_) == 0; }

  void print(double seconds, double cpu) const {
    std::printf(
        "{\"program\":\"rw-pingpong\",\"role\":\"client\",\"protocol\":\"%s\",\"mode\":\"%s\","
        "\"size\":%zu,\"requests\":%llu,\"lost\":%llu,\"seconds\":%.6f,\"rate\":%.1f,%s,"
        "\"cpu_seconds\":%.6f}\n",
        options_.udp ? "udp" : "tcp", options_.spin ? "spin" : "blocking", options_.size,
        static_cast<unsigned long long>(sequence_), static_cast<unsigned long long>(lost_), seconds,
        static_cast<double>(latencies_.count()) / seconds,
        latencies_.json(clock_.nanoseconds_per_tick()).c_str(), cpu);
  }

  const Options& options_;
  plain::TickClock clock_;
  std::vector<char> message_;
  int fd_ = -1;
  std::uint64_t sequence_ = 0;  // first bytes of each message; counts the warm-up too
  std::uint64_t lost_ = 0;
  plain::Latencies latencies_;
};

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  plain::stop_on_signals();
  if (!options.server) {
    Client(options).run();
  } else if (options.udp) {
    serve_udp(options);
  } else {
    serve_tcp(options);
  }
  return 0;
}
