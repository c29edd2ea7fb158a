#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/stat.h>

#include <cstdio>
#include <thread>

#include "conformance.h"

using namespace conformance;

namespace {

BEHAVIOUR(fd_lowest_free_number) {
  const Fd a(socket(AF_INET, SOCK_STREAM, 0));
  Fd b(socket(AF_INET, SOCK_STREAM, 0));
  const Fd c(socket(AF_INET, SOCK_STREAM, 0));
  told("next", b - a);
  const int number = b;
  b.reset();
  const Fd d(socket(AF_INET, SOCK_STREAM, 0));
  told("reused", d == number);
  const Fd e(dup(c));
  told("dup", e - c);
}

BEHAVIOUR(fd_flags) {
  const Fd plain(socket(AF_INET, SOCK_STREAM, 0));
  told("plain", fcntl(plain, F_GETFD));
  told("status", fcntl(plain, F_GETFL));
  const Fd both(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  told("cloexec", fcntl(both, F_GETFD));
  told("nonblock", fcntl(both, F_GETFL));
  told("set", success(fcntl(plain, F_SETFD, FD_CLOEXEC)));
  told("got", fcntl(plain, F_GETFD));
  int on = 1;
  told("fionbio", success(ioctl(plain, FIONBIO, &on)));
  told("then", fcntl(plain, F_GETFL));
  on = 0;
  ioctl(plain, FIONBIO, &on);
  told("off", fcntl(plain, F_GETFL));
  told("ioclex", success(ioctl(both, FIONCLEX)));
  told("cleared", fcntl(both, F_GETFD));
}

BEHAVIOUR(fd_dup_shares_status_not_cloexec) {
  const Fd a(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const Fd b(dup(a));
  told("cloexec", fcntl(b, F_GETFD));
  set_nonblocking(b);
  told("shared", (fcntl(a, F_GETFL) & O_NONBLOCK) != 0);
  const Fd c(fcntl(a, F_DUPFD_CLOEXEC, 50));
  told("number", c >= 50);
  told("c_cloexec", fcntl(c, F_GETFD));
  told("negative", success(fcntl(a, F_DUPFD, -1)));
}

BEHAVIOUR(fd_dup_keeps_the_connection) {
  Pair p = stream();
  const Fd copy(dup(p.client));
  p.client.reset();
  told("send", outcome(send(copy, "alive", 5, 0)));
  told("recv", received(p.server, 10));
  told("closed_number", success(fcntl(60, F_GETFD)));
}

BEHAVIOUR(fd_dup2) {
  Pair p = stream();
  Pair q = stream();
  told("over_socket", dup2(p.client, q.client) == q.client);
  told("old_peer_ends", received(q.server, 1));
  told("send", outcome(send(q.client, "via q", 5, 0)));
  told("recv", received(p.server, 10));
  told("same", dup2(p.client, p.client) == p.client);
  told("bad", success(dup2(5000, p.client)));
  told("still", outcome(send(p.client, "x", 1, 0)));
  int pipes[2];
  told("pipe", success(pipe(pipes)));
  told("over_pipe", dup2(p.client, pipes[1]) == pipes[1]);
  char c = 0;
  told("pipe_ends", outcome(read(pipes[0], &c, 1)));
  told("pipe_number", outcome(send(pipes[1], "y", 1, 0)));
  told("kernel_over_socket", dup2(pipes[0], p.client) == p.client);
  told("now_a_pipe", outcome(send(p.client, "z", 1, MSG_NOSIGNAL)));
  close(pipes[0]);
  close(pipes[1]);
}

BEHAVIOUR(fd_dup3) {
  const Pair p = stream();
  const Fd copy(dup3(p.client, 70, O_CLOEXEC));
  told("number", copy);
  told("cloexec", fcntl(copy, F_GETFD));
  told("same", success(dup3(p.client, p.client, 0)));
  told("flags", success(dup3(p.client, 71, 12345)));
}

BEHAVIOUR(fd_close) {
  const int s = socket(AF_INET, SOCK_STREAM, 0);
  told("close", success(close(s)));
  told("again", success(close(s)));
  told("negative", success(close(-1)));
  told("recv", received(s, 1));
  told("send", outcome(send(s, "x", 1, 0)));
  told("fcntl", success(fcntl(s, F_GETFL)));
}

BEHAVIOUR(fd_close_range) {
  const Pair p = stream();
  const int low = fcntl(p.client, F_DUPFD, 200);
  const int file = fcntl(0, F_DUPFD, 201);
  told("cloexec", success(close_range(200, 220, CLOSE_RANGE_CLOEXEC)));
  told("set", fcntl(low, F_GETFD));
  told("close", success(close_range(200, 220, 0)));
  told("gone", success(fcntl(low, F_GETFD)));
  told("file_gone", success(fcntl(file, F_GETFD)));
  told("rest_lives", outcome(send(p.client, "x", 1, 0)));
  told("backwards", success(close_range(20, 10, 0)));
}

BEHAVIOUR(fd_is_a_socket) {
  const Fd s(socket(AF_INET, SOCK_STREAM, 0));
  struct stat status {};
  told("fstat", success(fstat(s, &status)));
  told("socket", S_ISSOCK(status.st_mode) != 0);
  told("seek", success(lseek(s, 0, SEEK_SET)));
  char c;
  told("pread", outcome(pread(s, &c, 1, 0)));
  told("tty", isatty(s));
}

BEHAVIOUR(fd_stdio_on_a_socket) {
  Pair p = stream();
  FILE* f = fdopen(p.client.release(), "r+");
  told("fdopen", f != nullptr);
  told("fileno", fileno(f) > 2);
  std::fprintf(f, "hello %d\n", 42);
  std::fflush(f);
  told("recv", received(p.server, 100));
  send(p.server, "line\n", 5, 0);
  char line[20]{};
  told("fgets", std::fgets(line, sizeof line, f) != nullptr);
  told("line", std::string(line));
  told("fclose", success(std::fclose(f)));
  told("end", received(p.server, 1));
}

BEHAVIOUR(fd_close_while_another_thread_receives) {
  Pair p = stream();
  std::thread reader([&] {
    char c;
    const ssize_t got = recv(p.client, &c, 1, 0);
    told("recv", outcome(got));
  });
  poll(nullptr, 0, 30);
  const int number = p.client;
  const Fd server = std::move(p.server);
  close(number);
  p.client.release();
  send(server, "x", 1, MSG_NOSIGNAL);
  reader.join();
}

BEHAVIOUR(fd_shutdown_wakes_a_receiver) {
  const Pair p = stream();
  std::thread reader([&] { told("recv", received(p.client, 1)); });
  poll(nullptr, 0, 30);
  shutdown(p.client, SHUT_RDWR);
  reader.join();
}

BEHAVIOUR(fd_both_directions_at_once) {
  const Pair p = stream();
  constexpr std::size_t kBytes = 2 << 20;
  const std::string data(kBytes, 'd');
  std::thread echo([&] {
    const std::string got = receive_all(p.server, kBytes);
    send(p.server, got.data(), got.size(), 0);
  });
  std::thread reader(
      [&] { told("back", static_cast<long>(receive_all(p.client, kBytes).size())); });
  const ssize_t sent = send(p.client, data.data(), data.size(), 0);
  reader.join();
  echo.join();
  told("send", outcome(sent));
}

BEHAVIOUR(fd_printf) {
  const Pair p = stream();
  told("length", outcome(dprintf(p.client, "%d %s", 7, "words")));
  told("recv", received(p.server, 100));
  shutdown(p.client, SHUT_WR);
  signal(SIGPIPE, SIG_IGN);
  told("shut", outcome(dprintf(p.client, "more")));
  signal(SIGPIPE, SIG_DFL);
}

BEHAVIOUR(splice_between_sockets_and_pipes) {
  const Pair p = stream();
  int ends[2] = {-1, -1};
  success(pipe2(ends, O_NONBLOCK | O_CLOEXEC));
  const Fd reader(ends[0]);
  const Fd writer(ends[1]);
  fcntl(p.server, F_SETFL, O_NONBLOCK);
  told("empty", outcome(splice(p.server, nullptr, writer, nullptr, 100, SPLICE_F_NONBLOCK)));
  send(p.client, "0123456789", 10, 0);
  ready(p.server);
  told("in", outcome(splice(p.server, nullptr, writer, nullptr, 4, 0)));
  told("more", outcome(splice(p.server, nullptr, writer, nullptr, 100, 0)));
  told("out", outcome(splice(reader, nullptr, p.server, nullptr, 7, SPLICE_F_MORE)));
  told("rest", outcome(splice(reader, nullptr, p.server, nullptr, 100, 0)));
  told("recv", received(p.client, 10, MSG_WAITALL));
  told("drained", outcome(splice(reader, nullptr, p.server, nullptr, 100, 0)));
  told("no_pipe", outcome(splice(p.server, nullptr, p.client, nullptr, 100, 0)));
  off64_t offset = 0;
  told("offset", outcome(splice(p.server, &offset, writer, nullptr, 100, 0)));
  shutdown(p.client, SHUT_WR);
  ready(p.server);
  told("end", outcome(splice(p.server, nullptr, writer, nullptr, 100, 0)));
}

}  // namespace
