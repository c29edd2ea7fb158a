#include <thread>

#include "conformance.h"

using namespace conformance;

namespace {

Fd bound(int family = AF_INET) {
  Fd fd(socket(family, SOCK_DGRAM, 0));
  const Address any = loopback(family);
  if (bind(fd, any.get(), any.length) != 0) told("bind", outcome(-1));
  return fd;
}

BEHAVIOUR(udp_connected) {
  const Pair p = datagrams();
  told("send", outcome(send(p.client, "abc", 3, 0)));
  told("recv", received(p.server, 10));
  told("write", outcome(write(p.server, "de", 2)));
  told("back", received(p.client, 10));
  told("none", received(p.client, 10, MSG_DONTWAIT));
}

BEHAVIOUR(udp_ipv6) {
  const Pair p = datagrams(AF_INET6);
  told("send", outcome(send(p.client, "abc", 3, 0)));
  told("recv", received(p.server, 10));
}

BEHAVIOUR(udp_boundaries_and_truncation) {
  const Pair p = datagrams();
  send(p.client, "abcdef", 6, 0);
  send(p.client, "gh", 2, 0);
  ready(p.server);
  told("cut", received(p.server, 3));
  told("next", received(p.server, 10));
  send(p.client, "abcdef", 6, 0);
  ready(p.server);
  told("real_length", received(p.server, 3, MSG_TRUNC));
  send(p.client, "abcdef", 6, 0);
  ready(p.server);
  char data[4];
  iovec in{data, sizeof data};
  msghdr m{};
  m.msg_iov = &in;
  m.msg_iovlen = 1;
  told("recvmsg", outcome(recvmsg(p.server, &m, 0)));
  told("flags", m.msg_flags);
}

BEHAVIOUR(udp_empty_datagram) {
  const Pair p = datagrams();
  told("send", outcome(send(p.client, "", 0, 0)));
  told("ready", ready(p.server));
  told("recv", received(p.server, 10));
  told("none", received(p.server, 10, MSG_DONTWAIT));
}

BEHAVIOUR(udp_sendto_and_recvfrom) {
  const Fd server = bound();
  const Fd client(socket(AF_INET, SOCK_DGRAM, 0));
  const Address to = name_of(server);
  told("unbound", static_cast<long>(name_of(client).port()));
  told("sendto", outcome(sendto(client, "hi", 2, 0, to.get(), to.length)));
  told("bound", name_of(client).port() != 0);
  char buffer[10];
  Address from;
  told("recvfrom", outcome(recvfrom(server, buffer, sizeof buffer, 0, from.get(), &from.length)));
  told("length", static_cast<long>(from.length));
  told("host", from.host());
  told("port", from.port() == name_of(client).port());
  told("reply", outcome(sendto(server, "yo", 2, 0, from.get(), from.length)));
  told("got", received(client, 10));
}

BEHAVIOUR(udp_unconnected_send) {
  const Fd s = bound();
  told("send", outcome(send(s, "x", 1, 0)));
  Address a;
  told("peer", success(getpeername(s, a.get(), &a.length)));
  const Address v6 = loopback(AF_INET6, 9);
  told("family", outcome(sendto(s, "x", 1, 0, v6.get(), v6.length)));
  const Address port0 = loopback(AF_INET, 0);
  told("port0", outcome(sendto(s, "x", 1, 0, port0.get(), port0.length)));
  told("poll", polled(s));
}

BEHAVIOUR(udp_connected_hears_only_its_peer) {
  const Pair p = datagrams();
  const Fd stranger = bound();
  const Address to = name_of(p.server);
  sendto(stranger, "spam", 4, 0, to.get(), to.length);
  send(p.client, "ham", 3, 0);
  told("recv", received(p.server, 10));
  told("none", received(p.server, 10, MSG_DONTWAIT));
}

BEHAVIOUR(udp_sizes) {
  const Pair p = datagrams();
  const std::string big(60'000, 'u');
  told("send", outcome(send(p.client, big.data(), big.size(), 0)));
  std::vector<char> buffer(70'000);
  told("recv", outcome(recv(p.server, buffer.data(), buffer.size(), 0)));
  const std::string huge(70'000, 'u');
  told("huge", outcome(send(p.client, huge.data(), huge.size(), 0)));
  told("most", outcome(send(p.client, huge.data(), 65'507, 0)));
  told("over", outcome(send(p.client, huge.data(), 65'508, 0)));
}

BEHAVIOUR(udp_peek_and_size) {
  const Pair p = datagrams();
  send(p.client, "abc", 3, 0);
  send(p.client, "defgh", 5, 0);
  ready(p.server);
  told("peek", received(p.server, 10, MSG_PEEK));
  int n = -1;
  ioctl(p.server, FIONREAD, &n);
  told("first_size", n);
  told("recv", received(p.server, 10));
  told("second", received(p.server, 10));
}

BEHAVIOUR(udp_reconnect) {
  const Fd a = bound();
  const Fd b = bound();
  const Fd c(socket(AF_INET, SOCK_DGRAM, 0));
  const Address to_a = name_of(a);
  const Address to_b = name_of(b);
  told("a", success(connect(c, to_a.get(), to_a.length)));
  send(c, "a", 1, 0);
  told("b", success(connect(c, to_b.get(), to_b.length)));
  send(c, "b", 1, 0);
  told("at_a", received(a, 10));
  told("at_b", received(b, 10));
  sockaddr none{};
  none.sa_family = AF_UNSPEC;
  told("disconnect", success(connect(c, &none, sizeof none)));
  Address peer;
  told("peer", success(getpeername(c, peer.get(), &peer.length)));
  told("send", outcome(send(c, "x", 1, 0)));
}

BEHAVIOUR(udp_refused) {
  Fd gone = bound();
  const Address to = name_of(gone);
  gone.reset();
  const Fd c(socket(AF_INET, SOCK_DGRAM, 0));
  told("connect", success(connect(c, to.get(), to.length)));
  told("send", outcome(send(c, "x", 1, 0)));
  ready(c, POLLERR | POLLIN);
  told("poll", polled(c));
  told("recv", received(c, 1, MSG_DONTWAIT));
  told("then", received(c, 1, MSG_DONTWAIT));
}

BEHAVIOUR(udp_shutdown) {
  const Pair p = datagrams();
  told("shutdown", success(shutdown(p.client, SHUT_RD)));
  told("recv", received(p.client, 1));
  told("send", outcome(send(p.client, "x", 1, 0)));
  told("write_side", success(shutdown(p.client, SHUT_WR)));
  told("broken", outcome(send(p.client, "x", 1, MSG_NOSIGNAL)));
  const Fd fresh = bound();
  told("unconnected", success(shutdown(fresh, SHUT_RDWR)));
}

BEHAVIOUR(udp_many_messages) {
  const Pair p = datagrams();
  char out[4][8] = {"one", "two", "three", "four"};
  iovec parts[4];
  mmsghdr messages[4]{};
  for (int i = 0; i < 4; ++i) {
    parts[i] = {out[i], strlen(out[i])};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  told("sendmmsg", outcome(sendmmsg(p.client, messages, 4, 0)));
  told("third", static_cast<long>(messages[2].msg_len));
  ready(p.server);
  char in[4][8]{};
  for (int i = 0; i < 4; ++i) parts[i] = {in[i], sizeof in[i] - 1};
  told("recvmmsg", outcome(recvmmsg(p.server, messages, 4, MSG_WAITFORONE, nullptr)));
  told("text", std::string(in[2]));
  told("none", outcome(recvmmsg(p.server, messages, 4, MSG_DONTWAIT, nullptr)));
}

BEHAVIOUR(udp_listen_and_accept_are_not_for_datagrams) {
  const Fd s = bound();
  told("listen", success(listen(s, 1)));
  told("accept", success(accept(s, nullptr, nullptr)));
}

BEHAVIOUR(udp_blocks_until_something_comes) {
  const Pair p = datagrams();
  std::thread sender([&] {
    poll(nullptr, 0, 30);
    send(p.client, "late", 4, 0);
  });
  told("recv", received(p.server, 10));
  sender.join();
}

BEHAVIOUR(udp_timeout) {
  const Fd s = bound();
  const timeval t{0, 40'000};
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
  told("recv", received(s, 1));
}

BEHAVIOUR(udp_reuse) {
  const Fd a = bound();
  const Address name = name_of(a);
  const Fd b(socket(AF_INET, SOCK_DGRAM, 0));
  told("taken", success(bind(b, name.get(), name.length)));
}

BEHAVIOUR(udp_order_is_kept) {
  const Pair p = datagrams();
  for (char c = 'a'; c < 'z'; ++c) send(p.client, &c, 1, 0);
  std::string all;
  while (all.size() < 25 && ready(p.server)) all += received(p.server, 1).substr(2);
  told("all", all);
}

}  // namespace
