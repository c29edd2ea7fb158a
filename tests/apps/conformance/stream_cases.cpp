#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include <thread>

#include "conformance.h"

using namespace conformance;

namespace {

BEHAVIOUR(stream_carries_bytes) {
  const Pair p = stream();
  told("send", outcome(send(p.client, "hello", 5, 0)));
  told("recv", received(p.server, 100));
  told("back", outcome(write(p.server, "world!", 6)));
  char buffer[10]{};
  told("read", outcome(read(p.client, buffer, sizeof buffer)));
  told("text", std::string(buffer));
}

BEHAVIOUR(stream_ipv6) {
  const Pair p = stream(AF_INET6);
  told("send", outcome(send(p.client, "hello", 5, 0)));
  told("recv", received(p.server, 100));
  told("name", name_of(p.server).host());
  told("peer", peer_of(p.server).host());
  told("same", name_of(p.client).port() == peer_of(p.server).port());
}

BEHAVIOUR(stream_v4_client_on_v6_listener) {
  const Fd l(socket(AF_INET6, SOCK_STREAM, 0));
  set_option(l, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  told("bind", success(bind(l, reinterpret_cast<sockaddr*>(&any), sizeof any)));
  told("listen", success(listen(l, 4)));
  told("wildcard", name_of(l).host());
  const Fd c(socket(AF_INET, SOCK_STREAM, 0));
  const Address to = loopback(AF_INET, name_of(l).port());
  told("connect", success(connect(c, to.get(), to.length)));
  Address peer;
  const Fd s(accept(l, peer.get(), &peer.length));
  told("accept", success(s));
  told("family", static_cast<long>(peer.storage.ss_family));
  told("peer", peer.host());
  told("name", name_of(s).host());
}

BEHAVIOUR(stream_v6only_refuses_v4_port_twice) {
  std::string bind6;
  std::string bind4;
  // The port that is free for IPv6 may be another program's for IPv4.
  for (int i = 0; i < 20 && bind4 != "ok"; ++i) {
    const Fd a(socket(AF_INET6, SOCK_STREAM, 0));
    set_option(a, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    bind6 = success(bind(a, reinterpret_cast<sockaddr*>(&any), sizeof any));
    const Fd b(socket(AF_INET, SOCK_STREAM, 0));
    const Address v4 = loopback(AF_INET, name_of(a).port());
    bind4 = success(bind(b, v4.get(), v4.length));
  }
  told("bind6", bind6);
  told("bind4", bind4);
}

BEHAVIOUR(recv_nothing_is_EAGAIN) {
  const Pair p = stream();
  told("dontwait", received(p.client, 10, MSG_DONTWAIT));
  set_nonblocking(p.client);
  told("nonblocking", received(p.client, 10));
  char c;
  told("read", outcome(read(p.client, &c, 1)));
}

BEHAVIOUR(recv_of_nothing_asked) {
  const Pair p = stream();
  char c;
  told("read_empty", outcome(read(p.server, &c, 0)));
  send(p.client, "ab", 2, 0);
  ready(p.server);
  told("recv_with_data", outcome(recv(p.server, &c, 0, 0)));
  told("read_with_data", outcome(read(p.server, &c, 0)));
  told("still", received(p.server, 10));
}

BEHAVIOUR(send_of_nothing) {
  const Pair p = stream();
  told("send", outcome(send(p.client, "", 0, 0)));
  told("write", outcome(write(p.client, "", 0)));
  told("peer", received(p.server, 10, MSG_DONTWAIT));
}

BEHAVIOUR(peek_leaves_data) {
  const Pair p = stream();
  send(p.client, "abcdef", 6, 0);
  ready(p.server);
  told("peek", received(p.server, 3, MSG_PEEK));
  told("again", received(p.server, 10, MSG_PEEK));
  told("recv", received(p.server, 4));
  told("rest", received(p.server, 10));
  told("empty", received(p.server, 10, MSG_PEEK | MSG_DONTWAIT));
}

BEHAVIOUR(waitall_gathers) {
  const Pair p = stream();
  std::thread writer([&] {
    for (int i = 0; i < 4; ++i) {
      send(p.client, "1234", 4, 0);
      poll(nullptr, 0, 10);
    }
  });
  told("recv", received(p.server, 16, MSG_WAITALL));
  writer.join();
}

BEHAVIOUR(waitall_ends_with_the_stream) {
  Pair p = stream();
  send(p.client, "12345", 5, 0);
  p.client.reset();
  told("recv", received(p.server, 16, MSG_WAITALL));
  told("end", received(p.server, 16, MSG_WAITALL));
}

BEHAVIOUR(waitall_does_not_wait_if_nonblocking) {
  const Pair p = stream();
  send(p.client, "12345", 5, 0);
  ready(p.server);
  told("recv", received(p.server, 16, MSG_WAITALL | MSG_DONTWAIT));
  told("none", received(p.server, 16, MSG_WAITALL | MSG_DONTWAIT));
}

BEHAVIOUR(waitall_with_timeout_returns_part) {
  const Pair p = stream();
  const timeval t{0, 50'000};
  setsockopt(p.server, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
  send(p.client, "12345", 5, 0);
  told("recv", received(p.server, 16, MSG_WAITALL));
}

BEHAVIOUR(trunc_discards_from_a_stream) {
  const Pair p = stream();
  send(p.client, "abcdef", 6, 0);
  ready(p.server);
  told("trunc", outcome(recv(p.server, nullptr, 3, MSG_TRUNC)));
  told("rest", received(p.server, 10));
}

BEHAVIOUR(oob_flags) {
  const Pair p = stream();
  told("recv", received(p.server, 1, MSG_OOB | MSG_DONTWAIT));
  told("errqueue", received(p.server, 1, MSG_ERRQUEUE | MSG_DONTWAIT));
}

BEHAVIOUR(close_is_end_of_stream) {
  Pair p = stream();
  send(p.client, "last", 4, 0);
  p.client.reset();
  ready(p.server, POLLRDHUP);
  told("poll", polled(p.server));
  told("data", received(p.server, 10));
  told("end", received(p.server, 10));
  told("again", received(p.server, 10));
  told("poll_after", polled(p.server));
  told("peek", received(p.server, 1, MSG_PEEK));
}

BEHAVIOUR(half_close_lets_the_other_way_live) {
  const Pair p = stream();
  told("shutdown", success(shutdown(p.client, SHUT_WR)));
  told("end", received(p.server, 10));
  told("server_poll", polled(p.server));
  told("send", outcome(send(p.server, "still here", 10, 0)));
  told("recv", received(p.client, 100));
  told("client_send", outcome(send(p.client, "x", 1, MSG_NOSIGNAL)));
  told("again", success(shutdown(p.client, SHUT_WR)));
}

BEHAVIOUR(both_shut_down_is_HUP) {
  const Pair p = stream();
  shutdown(p.client, SHUT_WR);
  shutdown(p.server, SHUT_WR);
  ready(p.client, POLLHUP);
  ready(p.server, POLLHUP);
  told("client", polled(p.client));
  told("server", polled(p.server));
  told("recv", received(p.client, 1));
  told("error", get_option(p.client, SOL_SOCKET, SO_ERROR));
}

BEHAVIOUR(shut_down_for_reading) {
  const Pair p = stream();
  told("shutdown", success(shutdown(p.server, SHUT_RD)));
  told("recv", received(p.server, 10));
  told("poll", polled(p.server));
  told("still_sends", outcome(send(p.server, "x", 1, MSG_NOSIGNAL)));
  told("arrives", received(p.client, 10));
}

BEHAVIOUR(shut_down_data_before_is_read) {
  const Pair p = stream();
  send(p.client, "abc", 3, 0);
  ready(p.server);
  shutdown(p.server, SHUT_RD);
  told("data", received(p.server, 10));
  told("end", received(p.server, 10));
}

BEHAVIOUR(shut_down_both_ways) {
  const Pair p = stream();
  told("shutdown", success(shutdown(p.client, SHUT_RDWR)));
  told("own", received(p.client, 1));
  told("peer", received(p.server, 1));
  told("send", outcome(send(p.client, "x", 1, MSG_NOSIGNAL)));
  told("again", success(shutdown(p.client, SHUT_RDWR)));
}

BEHAVIOUR(shutdown_refusals) {
  const Fd fresh(socket(AF_INET, SOCK_STREAM, 0));
  told("unconnected", success(shutdown(fresh, SHUT_RD)));
  const Pair p = stream();
  told("nonsense", success(shutdown(p.client, 7)));
  const Fd l = listener();
  told("listener", success(shutdown(l, SHUT_RD)));
}

BEHAVIOUR(reset_by_linger) {
  Pair p = stream();
  reset_on_close(p.client);
  p.client.reset();
  ready(p.server, POLLERR | POLLIN);
  told("poll", polled(p.server));
  told("recv", received(p.server, 10));
  told("then", received(p.server, 10));
  told("send", outcome(send(p.server, "x", 1, MSG_NOSIGNAL)));
}

BEHAVIOUR(reset_shows_once_in_SO_ERROR) {
  Pair p = stream();
  reset_on_close(p.client);
  p.client.reset();
  ready(p.server, POLLERR | POLLIN);
  told("first", get_option(p.server, SOL_SOCKET, SO_ERROR));
  told("second", get_option(p.server, SOL_SOCKET, SO_ERROR));
  told("poll", polled(p.server));
  told("recv", received(p.server, 10));
  told("name", success(getpeername(p.server, nullptr, nullptr)));
}

BEHAVIOUR(close_with_unread_data_resets) {
  Pair p = stream();
  send(p.client, "unread", 6, 0);
  ready(p.server);
  p.server.reset();
  ready(p.client, POLLIN);
  told("recv", received(p.client, 10));
}

BEHAVIOUR(reset_drops_unread_data) {
  Pair p = stream();
  send(p.client, "unread", 6, 0);
  ready(p.server);
  reset_on_close(p.client);
  p.client.reset();
  ready(p.server, POLLERR | POLLRDHUP);
  told("recv", received(p.server, 10));
}

BEHAVIOUR(send_to_closed_peer) {
  Pair p = stream();
  p.server.reset();
  ready(p.client, POLLRDHUP);
  told("first", outcome(send(p.client, "a", 1, MSG_NOSIGNAL)));
  ready(p.client, POLLHUP);
  told("second", outcome(send(p.client, "a", 1, MSG_NOSIGNAL)));
  told("third", outcome(send(p.client, "a", 1, MSG_NOSIGNAL)));
  told("recv", received(p.client, 1));
}

volatile int g_pipes = 0;
void count_pipe(int) { g_pipes = g_pipes + 1; }

BEHAVIOUR(broken_pipe_raises_SIGPIPE) {
  g_pipes = 0;
  signal(SIGPIPE, count_pipe);
  const Pair p = stream();
  shutdown(p.client, SHUT_WR);
  told("send", outcome(send(p.client, "a", 1, 0)));
  told("signals", g_pipes);
  told("write", outcome(write(p.client, "a", 1)));
  told("more", g_pipes);
  told("nosignal", outcome(send(p.client, "a", 1, MSG_NOSIGNAL)));
  told("same", g_pipes);
  iovec part{const_cast<char*>("ab"), 2};
  told("writev", outcome(writev(p.client, &part, 1)));
  told("last", g_pipes);
  signal(SIGPIPE, SIG_IGN);
  told("ignored", outcome(write(p.client, "a", 1)));
  signal(SIGPIPE, SIG_DFL);
}

BEHAVIOUR(unconnected_stream) {
  const Fd s(socket(AF_INET, SOCK_STREAM, 0));
  told("recv", received(s, 1));
  told("send", outcome(send(s, "x", 1, MSG_NOSIGNAL)));
  told("peer", success(getpeername(s, loopback(AF_INET).get(), nullptr)));
  Address a;
  told("peername", success(getpeername(s, a.get(), &a.length)));
  told("name", name_of(s).host());
  told("port", static_cast<long>(name_of(s).port()));
  told("accept", success(accept(s, nullptr, nullptr)));
  told("poll", polled(s));
}

BEHAVIOUR(listener_is_no_stream) {
  const Fd l = listener();
  told("recv", received(l, 1, MSG_DONTWAIT));
  told("send", outcome(send(l, "x", 1, MSG_NOSIGNAL)));
  Address a;
  told("peername", success(getpeername(l, a.get(), &a.length)));
  told("poll", polled(l));
  told("acceptconn", get_option(l, SOL_SOCKET, SO_ACCEPTCONN));
  const Address self = name_of(l);
  told("connect", success(connect(l, self.get(), self.length)));
}

BEHAVIOUR(writev_and_readv) {
  const Pair p = stream();
  iovec out[3] = {{const_cast<char*>("ab"), 2}, {nullptr, 0}, {const_cast<char*>("cdef"), 4}};
  told("writev", outcome(writev(p.client, out, 3)));
  ready(p.server);
  char a[3]{};
  char b[10]{};
  iovec in[2] = {{a, 2}, {b, 9}};
  told("readv", outcome(readv(p.server, in, 2)));
  told("a", std::string(a));
  told("b", std::string(b));
  volatile int too_many = 2000;  // hidden from the compiler, which knows better
  volatile int negative = -1;
  told("too_many", outcome(readv(p.server, in, too_many)));
  told("negative", outcome(writev(p.client, out, negative)));
  told("none", outcome(writev(p.client, out, 0)));
}

BEHAVIOUR(sendmsg_and_recvmsg) {
  const Pair p = stream();
  iovec out[2] = {{const_cast<char*>("head"), 4}, {const_cast<char*>("body"), 4}};
  msghdr m{};
  m.msg_iov = out;
  m.msg_iovlen = 2;
  told("sendmsg", outcome(sendmsg(p.client, &m, 0)));
  ready(p.server);
  char data[20]{};
  char control[100];
  Address from;
  iovec in{data, sizeof data};
  msghdr r{};
  r.msg_iov = &in;
  r.msg_iovlen = 1;
  r.msg_control = control;
  r.msg_controllen = sizeof control;
  r.msg_name = from.get();
  r.msg_namelen = from.length;
  told("recvmsg", outcome(recvmsg(p.server, &r, 0)));
  told("data", std::string(data));
  told("flags", r.msg_flags);
  told("control", static_cast<long>(r.msg_controllen));
  told("name", static_cast<long>(r.msg_namelen));
}

BEHAVIOUR(recvfrom_names_no_sender_on_a_stream) {
  const Pair p = stream();
  send(p.client, "x", 1, 0);
  char c;
  Address from;
  told("recvfrom", outcome(recvfrom(p.server, &c, 1, 0, from.get(), &from.length)));
  told("family", static_cast<long>(from.storage.ss_family));
}

BEHAVIOUR(sendto_on_a_connected_stream) {
  const Pair p = stream();
  const Address other = loopback(AF_INET, 9);
  told("sendto", outcome(sendto(p.client, "x", 1, MSG_NOSIGNAL, other.get(), other.length)));
}

BEHAVIOUR(big_transfer_arrives_whole) {
  const Pair p = stream();
  constexpr std::size_t kBytes = 8 << 20;
  std::string data(kBytes, '\0');
  for (std::size_t i = 0; i < kBytes; ++i) data[i] = static_cast<char>(i * 2654435761U >> 13);
  std::thread writer([&] { told("send", outcome(send(p.client, data.data(), kBytes, 0))); });
  const std::string got = receive_all(p.server, kBytes);
  writer.join();
  told("bytes", static_cast<long>(got.size()));
  told("equal", got == data);
}

BEHAVIOUR(send_blocks_until_there_is_room) {
  const Pair p = stream();
  const std::size_t filled = fill(p.client);
  told("filled", filled > 10'000);
  told("full", outcome(send(p.client, "x", 1, MSG_NOSIGNAL)));
  told("not_writable", polled(p.client, POLLOUT));
  set_nonblocking(p.client, false);
  std::thread reader([&] { receive_all(p.server, filled + 5); });
  told("send", outcome(send(p.client, "12345", 5, 0)));
  reader.join();
  told("writable", polled(p.client, POLLOUT));
}

BEHAVIOUR(partial_send_when_nonblocking) {
  const Pair p = stream();
  set_nonblocking(p.client);
  const std::string data(64 << 20, 'p');
  const ssize_t sent = send(p.client, data.data(), data.size(), 0);
  told("some", sent > 0);
  told("not_all", sent < static_cast<ssize_t>(data.size()));
}

BEHAVIOUR(sendfile_sends_a_file) {
  const Pair p = stream();
  char path[] = "/tmp/conformance-XXXXXX";
  const Fd file(mkstemp(path));
  unlink(path);
  const std::string data(300'000, 's');
  told("write", outcome(write(file, data.data(), data.size())));
  off_t offset = 100'000;
  std::thread reader(
      [&] { told("got", static_cast<long>(receive_all(p.server, 200'000).size())); });
  told("sendfile", outcome(sendfile(p.client, file, &offset, 500'000)));
  told("offset", offset);
  reader.join();
  told("position", lseek(file, 0, SEEK_CUR));
  lseek(file, 299'990, SEEK_SET);
  told("own_position", outcome(sendfile(p.client, file, nullptr, 100)));
  told("moved", lseek(file, 0, SEEK_CUR));
  told("end", outcome(sendfile(p.client, file, nullptr, 100)));
  told("from_socket", outcome(sendfile(p.client, p.server, nullptr, 1)));
}

BEHAVIOUR(queue_sizes) {
  const Pair p = stream();
  int n = -1;
  told("fionread", success(ioctl(p.server, FIONREAD, &n)));
  told("empty", n);
  send(p.client, "12345", 5, 0);
  ready(p.server);
  ioctl(p.server, FIONREAD, &n);
  told("five", n);
  received(p.server, 2);
  ioctl(p.server, FIONREAD, &n);
  told("three", n);
}

BEHAVIOUR(timeouts_of_blocking_calls) {
  const Pair p = stream();
  const timeval t{0, 60'000};
  told("set", success(setsockopt(p.client, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t)));
  timeval back{};
  socklen_t length = sizeof back;
  told("get", success(getsockopt(p.client, SOL_SOCKET, SO_RCVTIMEO, &back, &length)));
  told("value", back.tv_usec / 20'000 * 20'000);  // the kernel rounds to its ticks
  const double begin = now();
  told("recv", received(p.client, 1));
  told("waited", now() - begin > 0.05 && now() - begin < 2);
  fill(p.server);
  set_nonblocking(p.server, false);
  setsockopt(p.server, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
  told("send", outcome(send(p.server, "x", 1, 0)));
  const Fd l = listener();
  setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
  told("accept", success(accept(l, nullptr, nullptr)));
  const timeval wrong{0, 2'000'000};
  told("wrong", success(setsockopt(p.client, SOL_SOCKET, SO_RCVTIMEO, &wrong, sizeof wrong)));
  told("short", success(setsockopt(p.client, SOL_SOCKET, SO_RCVTIMEO, &t, 4)));
}

}  // namespace
