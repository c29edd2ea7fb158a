#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

/// Small behaviours of sockets, each told as text. The program runs on the kernel and under
/// Ringway, and what it prints must be equal: there are no expectations here but Linux itself.
namespace conformance {

/// Registers a behaviour; `run` tells what it sees by told().
struct Case {
  Case(const char* name, void (*run)());
};
#define BEHAVIOUR(name)                             \
  void name();                                      \
  const conformance::Case case_##name{#name, name}; \
  void name()

/// "step: value" of the running behaviour.
void told(const char* step, const std::string& value);
void told(const char* step, long value);

/// A call's result as text: the value, or the name of errno.
std::string outcome(long value);
/// As outcome(), but a good result is only "ok".
std::string success(long value);

/// Poll and epoll bits as text, in a fixed order.
std::string bits(unsigned events);
/// poll(fd, events, 0), as text.
std::string polled(int fd, short events = POLLIN | POLLOUT | POLLRDHUP);
/// Waits up to 3 s for an event; false if it did not come.
bool ready(int fd, short events = POLLIN);

/// An fd that closes itself.
class Fd {
 public:
  Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~Fd() { reset(); }
  operator int() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_;
};

struct Address {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  std::uint16_t port() const;
  std::string host() const;
};
Address loopback(int family, std::uint16_t port = 0);
Address name_of(int fd);
Address peer_of(int fd);

/// A listening socket on the loopback address.
Fd listener(int family = AF_INET, int backlog = 16);
Fd client_of(int listener);

/// Two connected sockets.
struct Pair {
  Fd client;
  Fd server;
};
Pair stream(int family = AF_INET);
Pair datagrams(int family = AF_INET);

void set_nonblocking(int fd, bool on = true);
/// Receives until n bytes, the end or an error (up to 3 s each); what came.
std::string receive_all(int fd, std::size_t n);
/// recv() as text: "3:abc", "0", "EAGAIN".
std::string received(int fd, std::size_t n, int flags = 0);
void set_option(int fd, int level, int name, int value);
int get_option(int fd, int level, int name);
/// Makes close() send a reset.
void reset_on_close(int fd);
/// Fills the way to the peer until EAGAIN; bytes taken.
std::size_t fill(int fd);
double now();

}  // namespace conformance
