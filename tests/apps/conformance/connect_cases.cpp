#include <thread>

#include "conformance.h"

using namespace conformance;

namespace {

BEHAVIOUR(connect_refused) {
  Fd l = listener();
  const Address to = name_of(l);
  l.reset();
  const Fd c(socket(AF_INET, SOCK_STREAM, 0));
  told("connect", success(connect(c, to.get(), to.length)));
}

BEHAVIOUR(connect_refused_nonblocking) {
  Fd l = listener();
  const Address to = name_of(l);
  l.reset();
  const Fd c(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  const int begun = connect(c, to.get(), to.length);
  told("begun", begun < 0 && (errno == EINPROGRESS || errno == ECONNREFUSED));
  if (errno == EINPROGRESS) {
    ready(c, POLLOUT);
    told("error", get_option(c, SOL_SOCKET, SO_ERROR));
  } else {
    told("error", ECONNREFUSED);
  }
  told("nonblocking", (fcntl(c, F_GETFL) & O_NONBLOCK) != 0);
}

BEHAVIOUR(connect_nonblocking) {
  const Fd l = listener();
  const Address to = name_of(l);
  const Fd c(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  const int begun = connect(c, to.get(), to.length);
  told("begun", begun == 0 || errno == EINPROGRESS);
  told("ready", ready(c, POLLOUT));
  told("error", get_option(c, SOL_SOCKET, SO_ERROR));
  const int again = connect(c, to.get(), to.length);
  told("again", again == 0 || errno == EISCONN);
  told("third", success(connect(c, to.get(), to.length)));
}

BEHAVIOUR(connect_twice) {
  const Pair p = stream();
  const Address to = peer_of(p.client);
  told("connect", success(connect(p.client, to.get(), to.length)));
}

BEHAVIOUR(connect_bad_addresses) {
  const Fd c(socket(AF_INET, SOCK_STREAM, 0));
  const Address v6 = loopback(AF_INET6, 1);
  told("family", success(connect(c, v6.get(), v6.length)));
  const Address v4 = loopback(AF_INET, 1);
  told("short", success(connect(c, v4.get(), 4)));
  const Fd d(socket(AF_INET6, SOCK_STREAM, 0));
  told("short6", success(connect(d, v6.get(), 10)));
}

BEHAVIOUR(connect_from_a_bound_port) {
  const Fd l = listener();
  const Fd c(socket(AF_INET, SOCK_STREAM, 0));
  const Address any = loopback(AF_INET);
  told("bind", success(bind(c, any.get(), any.length)));
  const std::uint16_t port = name_of(c).port();
  told("port", port != 0);
  const Address to = name_of(l);
  told("connect", success(connect(c, to.get(), to.length)));
  told("kept", name_of(c).port() == port);
  Address peer;
  const Fd s(accept(l, peer.get(), &peer.length));
  told("seen", peer.port() == port);
  told("host", peer.host());
}

BEHAVIOUR(connect_to_the_wildcard) {
  const Fd l(socket(AF_INET, SOCK_STREAM, 0));
  told("listen", success(listen(l, 1)));
  told("port", name_of(l).port() != 0);
  told("name", name_of(l).host());
  Address to = name_of(l);
  const Fd c(socket(AF_INET, SOCK_STREAM, 0));
  told("connect", success(connect(c, to.get(), to.length)));
  told("peer", peer_of(c).host());
}

BEHAVIOUR(bind_errors) {
  const Fd l = listener();
  const Address taken = name_of(l);
  const Fd s(socket(AF_INET, SOCK_STREAM, 0));
  told("in_use", success(bind(s, taken.get(), taken.length)));
  const Address any = loopback(AF_INET);
  told("bind", success(bind(s, any.get(), any.length)));
  told("twice", success(bind(s, any.get(), any.length)));
  Address foreign = loopback(AF_INET);
  reinterpret_cast<sockaddr_in*>(&foreign.storage)->sin_addr.s_addr = htonl(0x08080808);
  const Fd t(socket(AF_INET, SOCK_STREAM, 0));
  told("foreign", success(bind(t, foreign.get(), foreign.length)));
  told("short", success(bind(t, any.get(), 3)));
  const Address v6 = loopback(AF_INET6);
  told("family", success(bind(t, v6.get(), v6.length)));
}

BEHAVIOUR(bind_wildcard_and_specific_clash) {
  const Fd l = listener();
  Address any = loopback(AF_INET, name_of(l).port());
  reinterpret_cast<sockaddr_in*>(&any.storage)->sin_addr.s_addr = 0;
  const Fd s(socket(AF_INET, SOCK_STREAM, 0));
  told("bind", success(bind(s, any.get(), any.length)));
}

BEHAVIOUR(port_can_be_used_again_at_once) {
  Fd l(socket(AF_INET, SOCK_STREAM, 0));
  set_option(l, SOL_SOCKET, SO_REUSEADDR, 1);
  const Address any = loopback(AF_INET);
  bind(l, any.get(), any.length);
  listen(l, 4);
  const Address name = name_of(l);
  Fd c = client_of(l);
  Fd s(accept(l, nullptr, nullptr));
  s.reset();
  told("end", received(c, 1));
  c.reset();
  l.reset();
  const Fd again(socket(AF_INET, SOCK_STREAM, 0));
  set_option(again, SOL_SOCKET, SO_REUSEADDR, 1);
  told("bind", success(bind(again, name.get(), name.length)));
  told("listen", success(listen(again, 4)));
}

BEHAVIOUR(reuseport_shares_a_port) {
  const Fd a(socket(AF_INET, SOCK_STREAM, 0));
  set_option(a, SOL_SOCKET, SO_REUSEPORT, 1);
  const Address any = loopback(AF_INET);
  bind(a, any.get(), any.length);
  listen(a, 8);
  const Address name = name_of(a);
  const Fd b(socket(AF_INET, SOCK_STREAM, 0));
  set_option(b, SOL_SOCKET, SO_REUSEPORT, 1);
  told("bind", success(bind(b, name.get(), name.length)));
  told("listen", success(listen(b, 8)));
  const Fd c(socket(AF_INET, SOCK_STREAM, 0));
  told("without", success(bind(c, name.get(), name.length)));
  const Fd client = client_of(a);
  told("one_has_it", ready(a) != ready(b));
}

BEHAVIOUR(accept_flags_and_address) {
  const Fd l = listener();
  const Fd c = client_of(l);
  Address peer;
  const Fd s(accept4(l, peer.get(), &peer.length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  told("accept", success(s));
  told("length", static_cast<long>(peer.length));
  told("host", peer.host());
  told("port", peer.port() == name_of(c).port());
  told("nonblock", (fcntl(s, F_GETFL) & O_NONBLOCK) != 0);
  told("cloexec", fcntl(s, F_GETFD));
  const Fd d = client_of(l);
  const Fd t(accept(l, nullptr, nullptr));
  told("plain_nonblock", (fcntl(t, F_GETFL) & O_NONBLOCK) != 0);
  told("plain_cloexec", fcntl(t, F_GETFD));
  told("bad_flags", success(accept4(l, nullptr, nullptr, 1)));
  Address cut;
  cut.length = 4;
  const Fd f = client_of(l);
  const Fd u(accept(l, cut.get(), &cut.length));
  told("cut", static_cast<long>(cut.length));
}

BEHAVIOUR(accept_takes_no_nonblocking_from_the_listener) {
  const Fd l = listener();
  set_nonblocking(l);
  told("none", success(accept(l, nullptr, nullptr)));
  const Fd c = client_of(l);
  told("ready", ready(l));
  const Fd s(accept(l, nullptr, nullptr));
  told("nonblock", (fcntl(s, F_GETFL) & O_NONBLOCK) != 0);
}

BEHAVIOUR(accept_in_order) {
  const Fd l = listener();
  std::vector<Fd> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(client_of(l));
  bool ordered = true;
  for (int i = 0; i < 5; ++i) {
    const Fd s(accept(l, nullptr, nullptr));
    ordered = ordered && peer_of(s).port() == name_of(clients[static_cast<std::size_t>(i)]).port();
  }
  told("ordered", ordered);
}

BEHAVIOUR(accepted_after_the_client_left) {
  const Fd l = listener();
  Fd c = client_of(l);
  send(c, "bye", 3, 0);
  c.reset();
  ready(l);
  const Fd s(accept(l, nullptr, nullptr));
  told("accept", success(s));
  told("data", received(s, 10));
  told("end", received(s, 10));
}

BEHAVIOUR(closing_a_listener_resets_waiting_clients) {
  Fd l = listener();
  const Fd c = client_of(l);
  ready(l);
  l.reset();
  ready(c, POLLERR | POLLIN);
  told("recv", received(c, 1));
}

BEHAVIOUR(accept_from_several_threads) {
  const Fd l = listener();
  int got[4] = {};
  std::vector<std::thread> threads;
  for (int& count : got) {
    threads.emplace_back([&l, &count] {
      while (true) {
        const Fd s(accept(l, nullptr, nullptr));
        if (s < 0) return;
        char c = 0;
        if (recv(s, &c, 1, 0) == 1 && c == 'q') return;
        ++count;
      }
    });
  }
  for (int i = 0; i < 40; ++i) {
    const Fd c = client_of(l);
    send(c, "x", 1, 0);
  }
  for (int i = 0; i < 4; ++i) {
    const Fd c = client_of(l);
    send(c, "q", 1, 0);
    received(c, 1);
  }
  for (std::thread& t : threads) t.join();
  told("sum", got[0] + got[1] + got[2] + got[3]);
}

BEHAVIOUR(socket_refusals) {
  told("family", success(socket(AF_INET, 77, 0)));
  told("protocol", success(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP)));
  told("nonsense", success(socket(1000, SOCK_STREAM, 0)));
  const Fd tcp(socket(AF_INET, SOCK_STREAM, IPPROTO_TCP));
  told("tcp", success(tcp));
  const Fd local(socket(AF_UNIX, SOCK_STREAM, 0));
  told("unix", success(local));
  int two[2];
  told("pair", success(socketpair(AF_INET, SOCK_STREAM, 0, two)));
}

BEHAVIOUR(options_are_told_back) {
  const Pair p = stream();
  told("type", get_option(p.client, SOL_SOCKET, SO_TYPE));
  told("domain", get_option(p.client, SOL_SOCKET, SO_DOMAIN));
  told("protocol", get_option(p.client, SOL_SOCKET, SO_PROTOCOL));
  told("error", get_option(p.client, SOL_SOCKET, SO_ERROR));
  told("listening", get_option(p.client, SOL_SOCKET, SO_ACCEPTCONN));
  set_option(p.client, IPPROTO_TCP, TCP_NODELAY, 1);
  told("nodelay", get_option(p.client, IPPROTO_TCP, TCP_NODELAY));
  set_option(p.client, IPPROTO_TCP, TCP_NODELAY, 0);
  told("delay", get_option(p.client, IPPROTO_TCP, TCP_NODELAY));
  set_option(p.client, SOL_SOCKET, SO_KEEPALIVE, 1);
  told("keepalive", get_option(p.client, SOL_SOCKET, SO_KEEPALIVE));
  set_option(p.client, IPPROTO_TCP, TCP_KEEPIDLE, 33);
  told("keepidle", get_option(p.client, IPPROTO_TCP, TCP_KEEPIDLE));
  set_option(p.client, IPPROTO_TCP, TCP_KEEPINTVL, 7);
  told("keepintvl", get_option(p.client, IPPROTO_TCP, TCP_KEEPINTVL));
  set_option(p.client, IPPROTO_TCP, TCP_KEEPCNT, 4);
  told("keepcnt", get_option(p.client, IPPROTO_TCP, TCP_KEEPCNT));
  set_option(p.client, SOL_SOCKET, SO_REUSEADDR, 1);
  told("reuse", get_option(p.client, SOL_SOCKET, SO_REUSEADDR));
  set_option(p.client, IPPROTO_TCP, TCP_USER_TIMEOUT, 4000);
  told("user_timeout", get_option(p.client, IPPROTO_TCP, TCP_USER_TIMEOUT));
  set_option(p.client, SOL_SOCKET, SO_RCVBUF, 50'000);
  told("rcvbuf", get_option(p.client, SOL_SOCKET, SO_RCVBUF) >= 50'000);
  set_option(p.client, SOL_SOCKET, SO_SNDBUF, 50'000);
  told("sndbuf", get_option(p.client, SOL_SOCKET, SO_SNDBUF) >= 50'000);
  told("maxseg", get_option(p.client, IPPROTO_TCP, TCP_MAXSEG) > 500);
  set_option(p.client, IPPROTO_IP, IP_TOS, 16);
  told("tos", get_option(p.client, IPPROTO_IP, IP_TOS));
  linger l{1, 3};
  setsockopt(p.client, SOL_SOCKET, SO_LINGER, &l, sizeof l);
  l = {0, 0};
  socklen_t length = sizeof l;
  getsockopt(p.client, SOL_SOCKET, SO_LINGER, &l, &length);
  told("linger", l.l_onoff * 100 + l.l_linger);
  tcp_info info{};
  length = sizeof info;
  told("info", success(getsockopt(p.client, IPPROTO_TCP, TCP_INFO, &info, &length)));
  told("state", info.tcpi_state);
  told("unknown", success(getsockopt(p.client, SOL_SOCKET, 9999, &l, &length)));
  told("unknown_level", success(getsockopt(p.client, 9999, 1, &l, &length)));
  int value = 1;
  told("set_unknown", success(setsockopt(p.client, SOL_SOCKET, 9999, &value, sizeof value)));
  told("set_short", success(setsockopt(p.client, SOL_SOCKET, SO_KEEPALIVE, &value, 2)));
}

BEHAVIOUR(options_go_from_listener_to_connection) {
  const Fd l = listener();
  set_option(l, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(l, SOL_SOCKET, SO_KEEPALIVE, 1);
  const Fd c = client_of(l);
  const Fd s(accept(l, nullptr, nullptr));
  told("nodelay", get_option(s, IPPROTO_TCP, TCP_NODELAY));
  told("keepalive", get_option(s, SOL_SOCKET, SO_KEEPALIVE));
}

BEHAVIOUR(names_can_be_cut) {
  const Pair p = stream();
  Address a;
  a.length = 5;
  told("name", success(getsockname(p.client, a.get(), &a.length)));
  told("length", static_cast<long>(a.length));
  a.length = 100;
  told("peer", success(getpeername(p.client, a.get(), &a.length)));
  told("full", static_cast<long>(a.length));
}

}  // namespace
