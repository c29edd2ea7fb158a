#include "echo_server.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <vector>

#include "sockets.h"
#include "tools.h"

namespace plain {
namespace {

class EchoServer {
 public:
  explicit EchoServer(const EchoOptions& options)
      : timeout_(options.spin ? 0 : -1), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) die("epoll_create1");
    for (std::uint16_t i = 0; i < options.ports; ++i) {
      const auto port = static_cast<std::uint16_t>(options.port + i);
      const int fd = listen_tcp(port, options.congestion);
      set_nonblocking(fd);
      control(EPOLL_CTL_ADD, fd, EPOLLIN);
      listeners_.push_back(fd);
    }
  }

  void run() {
    std::array<epoll_event, 256> events{};
    while (!stopping()) {
      const int ready =
          epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout_);
      if (ready < 0 && errno != EINTR) die("epoll_wait");
      for (int i = 0; i < ready; ++i) handle(events[static_cast<std::size_t>(i)]);
    }
  }

  void print(const std::string& program) const {
    std::printf(
        "{\"program\":\"%s\",\"role\":\"server\",\"connections\":%llu,\"reads\":%llu,"
        "\"cpu_seconds\":%.6f}\n",
        program.c_str(), static_cast<unsigned long long>(accepted_),
        static_cast<unsigned long long>(reads_), accepted_ == 0 ? 0 : cpu_seconds() - cpu_start_);
  }

 private:
  void control(int operation, int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(epoll_, operation, fd, &event) != 0) die("epoll_ctl");
  }

  void handle(const epoll_event& event) {
    const int fd = event.data.fd;
    if (std::find(listeners_.begin(), listeners_.end(), fd) != listeners_.end()) {
      accept_all(fd);
    } else if (!unsent_[static_cast<std::size_t>(fd)].empty()) {
      send_rest(fd);
    } else {
      echo(fd);
    }
  }

  void accept_all(int listener) {
    for (;;) {
      const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        if (would_block() || errno == ECONNABORTED) return;
        die("accept4");
      }
      if (accepted_++ == 0) cpu_start_ = cpu_seconds();
      set_no_delay(fd);
      if (unsent_.size() <= static_cast<std::size_t>(fd)) {
        unsent_.resize(static_cast<std::size_t>(fd) + 1);
      }
      unsent_[static_cast<std::size_t>(fd)].clear();
      control(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
  }

  void echo(int fd) {
    const ssize_t got = recv(fd, buffer_.data(), buffer_.size(), 0);
    if (got < 0 && would_block()) return;
    if (got <= 0) {
      close(fd);
      return;
    }
    ++reads_;
    const ssize_t sent = send(fd, buffer_.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL);
    if (sent == got) return;
    if (sent < 0 && !would_block()) {
      close(fd);
      return;
    }
    const ssize_t from = std::max<ssize_t>(sent, 0);
    unsent_[static_cast<std::size_t>(fd)].assign(buffer_.data() + from,
                                                 static_cast<std::size_t>(got - from));
    control(EPOLL_CTL_MOD, fd, EPOLLOUT);
  }

  void send_rest(int fd) {
    std::string& rest = unsent_[static_cast<std::size_t>(fd)];
    const ssize_t sent = send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      if (would_block()) return;
      rest.clear();
      close(fd);
      return;
    }
    rest.erase(0, static_cast<std::size_t>(sent));
    if (rest.empty()) control(EPOLL_CTL_MOD, fd, EPOLLIN);
  }

  int timeout_;
  int epoll_;
  std::vector<int> listeners_;
  std::vector<std::string> unsent_;  // by fd
  std::array<char, 16384> buffer_{};
  std::uint64_t accepted_ = 0;
  std::uint64_t reads_ = 0;
  double cpu_start_ = 0;
};

}  // namespace

void run_echo_server(const EchoOptions& options, const std::string& program) {
  stop_on_signals();
  EchoServer server(options);
  print_ready();
  server.run();
  server.print(program);
}

}  // namespace plain
