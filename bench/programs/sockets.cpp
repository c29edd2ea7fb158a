#include "sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <ctime>

#include "tools.h"

namespace plain {
namespace {

sockaddr_in address_of(const Target& target) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(target.port);
  if (inet_pton(AF_INET, target.host.c_str(), &address.sin_addr) != 1) {
    errno = 0;
    die("'" + target.host + "' is not an IPv4 address");
  }
  return address;
}

const sockaddr* generic(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

std::string name_of(const Target& target) {
  return target.host + ":" + std::to_string(target.port);
}

int open_socket(int type) {
  const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  return fd;
}

void set_option(int fd, int level, int name, int value) {
  if (setsockopt(fd, level, name, &value, sizeof value) != 0) die("setsockopt");
}

void set_congestion(int fd, const std::string& name) {
  if (name.empty()) return;
  if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(),
                 static_cast<socklen_t>(name.size())) != 0) {
    die("congestion control '" + name + "'");
  }
}

/// A peer that keeps silent for so long while we spin is gone.
class SilenceLimit {
 public:
  void check() {
    if ((++turns_ & 0xfffff) != 0) return;
    const std::time_t now = std::time(nullptr);
    if (since_ == 0) since_ = now;
    errno = 0;
    if (now - since_ > 10) die("no answer for 10 s");
  }

 private:
  std::uint64_t turns_ = 0;
  std::time_t since_ = 0;
};

}  // namespace

Target parse_target(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  const int port = colon == std::string::npos ? 0 : std::atoi(text.c_str() + colon + 1);
  if (port <= 0 || port > 65535) die("--connect needs HOST:PORT, not '" + text + "'");
  return {text.substr(0, colon), static_cast<std::uint16_t>(port)};
}

int listen_tcp(std::uint16_t port, const std::string& congestion) {
  const int fd = open_socket(SOCK_STREAM);
  set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  set_congestion(fd, congestion);
  const Target any{"0.0.0.0", port};
  const sockaddr_in address = address_of(any);
  if (bind(fd, generic(address), sizeof address) != 0) die("bind " + name_of(any));
  if (listen(fd, 4096) != 0) die("listen");
  return fd;
}

int connect_tcp(const Target& target, const std::string& congestion) {
  const int fd = open_socket(SOCK_STREAM);
  set_congestion(fd, congestion);
  const sockaddr_in address = address_of(target);
  if (connect(fd, generic(address), sizeof address) != 0) die("connect " + name_of(target));
  set_no_delay(fd);
  return fd;
}

int begin_connect_tcp(const Target& target, const std::string& congestion, bool& done) {
  const int fd = open_socket(SOCK_STREAM | SOCK_NONBLOCK);
  set_congestion(fd, congestion);
  set_no_delay(fd);
  const sockaddr_in address = address_of(target);
  done = connect(fd, generic(address), sizeof address) == 0;
  if (!done && errno != EINPROGRESS) die("connect " + name_of(target));
  return fd;
}

int bind_udp(std::uint16_t port) {
  const int fd = open_socket(SOCK_DGRAM);
  const Target any{"0.0.0.0", port};
  const sockaddr_in address = address_of(any);
  if (bind(fd, generic(address), sizeof address) != 0) die("bind " + name_of(any));
  return fd;
}

int connect_udp(const Target& target) {
  const int fd = open_socket(SOCK_DGRAM);
  const sockaddr_in address = address_of(target);
  if (connect(fd, generic(address), sizeof address) != 0) die("connect " + name_of(target));
  return fd;
}

void set_no_delay(int fd) { set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); }

void set_nonblocking(int fd) {
  const int flags = fcntl(fd, F_GETFL, 0);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) die("fcntl O_NONBLOCK");
}

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

void send_all(int fd, const void* data, std::size_t size) {
  const char* from = static_cast<const char*>(data);
  SilenceLimit limit;
  while (size > 0) {
    const ssize_t sent = send(fd, from, size, MSG_NOSIGNAL);
    if (sent > 0) {
      from += sent;
      size -= static_cast<std::size_t>(sent);
    } else if (!would_block()) {
      die("send");
    } else {
      limit.check();
    }
  }
}

bool receive_all(int fd, void* data, std::size_t size) {
  char* to = static_cast<char*>(data);
  SilenceLimit limit;
  while (size > 0) {
    const ssize_t got = recv(fd, to, size, 0);
    if (got > 0) {
      to += got;
      size -= static_cast<std::size_t>(got);
    } else if (got == 0 || !would_block()) {
      if (got < 0 && errno != ECONNRESET) die("recv");
      return false;
    } else {
      if (stopping()) return false;
      limit.check();
    }
  }
  return true;
}

}  // namespace plain
