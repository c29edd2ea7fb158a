#include <sys/time.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "conformance.h"

namespace conformance {
namespace {

struct Known {
  const char* name;
  void (*run)();
};
std::vector<Known>& cases() {
  static std::vector<Known> cases;
  return cases;
}
const char* g_running = "";

void on_alarm(int) {
  static const char text[] = ": HANGS\n";
  [[maybe_unused]] ssize_t n = write(STDOUT_FILENO, g_running, strlen(g_running));
  n = write(STDOUT_FILENO, text, sizeof text - 1);
  _exit(3);
}

const char* errno_name(int error) { return strerrorname_np(error); }

}  // namespace

Case::Case(const char* name, void (*run)()) { cases().push_back({name, run}); }

void told(const char* step, const std::string& value) {
  std::printf("%s.%s: %s\n", g_running, step, value.c_str());
}
void told(const char* step, long value) { told(step, std::to_string(value)); }

std::string outcome(long value) {
  return value >= 0 ? std::to_string(value) : std::string(errno_name(errno));
}
std::string success(long value) { return value >= 0 ? "ok" : std::string(errno_name(errno)); }

std::string bits(unsigned events) {
  static const std::pair<unsigned, const char*> names[] = {
      {EPOLLIN, "IN"},   {EPOLLOUT, "OUT"},      {EPOLLRDHUP, "RDHUP"},
      {EPOLLHUP, "HUP"}, {EPOLLERR, "ERR"},      {POLLNVAL, "NVAL"},
      {EPOLLPRI, "PRI"}, {POLLRDNORM, "RDNORM"}, {POLLWRNORM, "WRNORM"}};
  std::string text;
  for (const auto& [bit, name] : names) {
    if ((events & bit) != 0) text += text.empty() ? name : std::string("|") + name;
  }
  return text.empty() ? "-" : text;
}

std::string polled(int fd, short events) {
  pollfd item{fd, events, 0};
  if (poll(&item, 1, 0) < 0) return errno_name(errno);
  return bits(static_cast<unsigned short>(item.revents));
}

bool ready(int fd, short events) {
  pollfd item{fd, events, 0};
  return poll(&item, 1, 3000) == 1 && (item.revents & events) != 0;
}

std::uint16_t Address::port() const {
  return storage.ss_family == AF_INET
             ? ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port)
             : ntohs(reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port);
}

std::string Address::host() const {
  char text[INET6_ADDRSTRLEN] = "?";
  if (storage.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr, text,
              sizeof text);
  } else if (storage.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr, text,
              sizeof text);
  }
  return text;
}

Address loopback(int family, std::uint16_t port) {
  Address a;
  if (family == AF_INET) {
    auto* in = reinterpret_cast<sockaddr_in*>(&a.storage);
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.length = sizeof *in;
  } else {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&a.storage);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    in6->sin6_addr = in6addr_loopback;
    a.length = sizeof *in6;
  }
  return a;
}

Address name_of(int fd) {
  Address a;
  if (getsockname(fd, a.get(), &a.length) != 0) a.storage.ss_family = AF_UNSPEC;
  return a;
}
Address peer_of(int fd) {
  Address a;
  if (getpeername(fd, a.get(), &a.length) != 0) a.storage.ss_family = AF_UNSPEC;
  return a;
}

Fd listener(int family, int backlog) {
  Fd fd(socket(family, SOCK_STREAM, 0));
  const Address a = loopback(family);
  if (bind(fd, a.get(), a.length) != 0 || listen(fd, backlog) != 0) told("listener", outcome(-1));
  return fd;
}

Fd client_of(int listener) {
  const Address a = name_of(listener);
  Fd fd(socket(a.storage.ss_family, SOCK_STREAM, 0));
  if (connect(fd, a.get(), a.length) != 0) told("client", outcome(-1));
  return fd;
}

Pair stream(int family) {
  const Fd listening = listener(family);
  Fd client = client_of(listening);
  Fd server(accept(listening, nullptr, nullptr));
  if (server < 0) told("accept", outcome(-1));
  return {std::move(client), std::move(server)};
}

Pair datagrams(int family) {
  Pair pair{Fd(socket(family, SOCK_DGRAM, 0)), Fd(socket(family, SOCK_DGRAM, 0))};
  const Address any = loopback(family);
  bind(pair.client, any.get(), any.length);
  bind(pair.server, any.get(), any.length);
  const Address client = name_of(pair.client);
  const Address server = name_of(pair.server);
  if (connect(pair.client, server.get(), server.length) != 0) told("connect", outcome(-1));
  if (connect(pair.server, client.get(), client.length) != 0) told("connect", outcome(-1));
  return pair;
}

void set_nonblocking(int fd, bool on) {
  const int flags = fcntl(fd, F_GETFL);
  fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

std::string receive_all(int fd, std::size_t n) {
  std::string all;
  std::vector<char> buffer(65536);
  while (all.size() < n && ready(fd)) {
    const ssize_t got = recv(fd, buffer.data(), std::min(buffer.size(), n - all.size()), 0);
    if (got <= 0) break;
    all.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return all;
}

std::string received(int fd, std::size_t n, int flags) {
  std::vector<char> buffer(n + 1);
  const ssize_t got = recv(fd, buffer.data(), n, flags);
  if (got <= 0) return outcome(got);
  const auto kept = std::min<std::size_t>(static_cast<std::size_t>(got), n);
  return std::to_string(got) + ":" + std::string(buffer.data(), std::min<std::size_t>(kept, 64));
}

void set_option(int fd, int level, int name, int value) {
  if (setsockopt(fd, level, name, &value, sizeof value) != 0) told("setsockopt", outcome(-1));
}
int get_option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  if (getsockopt(fd, level, name, &value, &length) != 0) told("getsockopt", outcome(-1));
  return value;
}
void reset_on_close(int fd) {
  const linger at_once{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

std::size_t fill(int fd) {
  set_nonblocking(fd);
  const std::vector<char> data(65536, 'f');
  std::size_t total = 0;
  // Until nothing has gone for a while: buffers at the peer fill as well, and Linux may find room
  // for more when it first probes a closed window, after 200 ms.
  constexpr int kLooks = 26;
  for (int empty = 0; empty < kLooks;) {
    const ssize_t sent = send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      total += static_cast<std::size_t>(sent);
      empty = 0;
    } else {
      ++empty;
      poll(nullptr, 0, 10);
    }
  }
  return total;
}

double now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

}  // namespace conformance

// Usage: conformance [--list | --from NAME | NAME...]; a behaviour that takes over 10 s ends it
// with status 3.
int main(int argc, char** argv) {
  using namespace conformance;
  setvbuf(stdout, nullptr, _IOLBF, 0);
  std::vector<Known> all = cases();
  std::sort(all.begin(), all.end(),
            [](const Known& a, const Known& b) { return std::strcmp(a.name, b.name) < 0; });
  std::vector<std::string> wanted(argv + 1, argv + argc);
  const bool from = wanted.size() == 2 && wanted[0] == "--from";
  bool reached = !from;
  for (const Known& one : all) {
    if (!wanted.empty() && wanted[0] == "--list") {
      std::puts(one.name);
      continue;
    }
    reached = reached || wanted[1] == one.name;
    const bool named =
        wanted.empty() || from || std::find(wanted.begin(), wanted.end(), one.name) != wanted.end();
    if (!reached || !named) continue;
    g_running = one.name;
    std::printf("%s: begins\n", g_running);
    signal(SIGALRM, on_alarm);
    alarm(10);
    one.run();
    alarm(0);
  }
  return 0;
}
