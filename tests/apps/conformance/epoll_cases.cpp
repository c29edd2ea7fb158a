#include <sys/eventfd.h>

#include <algorithm>
#include <thread>

#include "conformance.h"

using namespace conformance;

namespace {

Fd instance() { return Fd(epoll_create1(EPOLL_CLOEXEC)); }

int add(int e, int fd, unsigned events, std::uint64_t data = 0) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data != 0 ? data : static_cast<std::uint64_t>(fd);
  return epoll_ctl(e, EPOLL_CTL_ADD, fd, &event);
}
int modify(int e, int fd, unsigned events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = static_cast<std::uint64_t>(fd);
  return epoll_ctl(e, EPOLL_CTL_MOD, fd, &event);
}

/// The events of one epoll_wait, sorted by their data, each as "name:bits".
std::string waited(int e, int timeout, std::vector<std::pair<int, const char*>> names,
                   int most = 16) {
  std::vector<epoll_event> events(static_cast<std::size_t>(most));
  const int n = epoll_wait(e, events.data(), most, timeout);
  if (n <= 0) return outcome(n);
  std::sort(events.begin(), events.begin() + n,
            [](const epoll_event& a, const epoll_event& b) { return a.data.u64 < b.data.u64; });
  std::string text;
  for (int i = 0; i < n; ++i) {
    const auto& event = events[static_cast<std::size_t>(i)];
    std::string name = "?";
    for (const auto& [fd, known] : names) {
      if (static_cast<std::uint64_t>(fd) == event.data.u64) name = known;
    }
    text += (i > 0 ? " " : "") + name + ":" + bits(event.events);
  }
  return text;
}

BEHAVIOUR(epoll_level_repeats) {
  const Pair p = stream();
  const Fd e = instance();
  told("add", success(add(e, p.server, EPOLLIN)));
  told("nothing", waited(e, 0, {}));
  send(p.client, "ab", 2, 0);
  told("first", waited(e, 3000, {{p.server, "server"}}));
  told("again", waited(e, 0, {{p.server, "server"}}));
  received(p.server, 1);
  told("half", waited(e, 0, {{p.server, "server"}}));
  received(p.server, 1);
  told("read", waited(e, 0, {{p.server, "server"}}));
}

BEHAVIOUR(epoll_edge_tells_once) {
  const Pair p = stream();
  const Fd e = instance();
  add(e, p.server, EPOLLIN | EPOLLET);
  send(p.client, "ab", 2, 0);
  told("first", waited(e, 3000, {{p.server, "server"}}));
  told("again", waited(e, 0, {{p.server, "server"}}));
  received(p.server, 1);
  told("partly_read", waited(e, 0, {{p.server, "server"}}));
  send(p.client, "c", 1, 0);
  told("more", waited(e, 3000, {{p.server, "server"}}));
  received(p.server, 10);
  told("empty", waited(e, 0, {{p.server, "server"}}));
  send(p.client, "d", 1, 0);
  told("new", waited(e, 3000, {{p.server, "server"}}));
}

BEHAVIOUR(epoll_edge_starts_with_what_is_there) {
  const Pair p = stream();
  send(p.client, "ab", 2, 0);
  ready(p.server);
  const Fd e = instance();
  add(e, p.server, EPOLLIN | EPOLLOUT | EPOLLET);
  told("first", waited(e, 0, {{p.server, "server"}}));
  told("again", waited(e, 0, {{p.server, "server"}}));
  told("mod", success(modify(e, p.server, EPOLLIN | EPOLLOUT | EPOLLET)));
  told("after_mod", waited(e, 0, {{p.server, "server"}}));
}

BEHAVIOUR(epoll_edge_in_and_out) {
  const Pair p = stream();
  const Fd e = instance();
  add(e, p.server, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
  told("writable", waited(e, 0, {{p.server, "server"}}));
  told("once", waited(e, 0, {{p.server, "server"}}));
  send(p.client, "x", 1, 0);
  told("both", waited(e, 3000, {{p.server, "server"}}));
  shutdown(p.client, SHUT_WR);
  told("end", waited(e, 3000, {{p.server, "server"}}));
}

BEHAVIOUR(epoll_edge_writable_again) {
  const Pair p = stream();
  const Fd e = instance();
  const std::size_t filled = fill(p.client);
  add(e, p.client, EPOLLOUT | EPOLLET);
  told("full", waited(e, 0, {{p.client, "client"}}));
  receive_all(p.server, filled);
  told("room", waited(e, 3000, {{p.client, "client"}}));
}

BEHAVIOUR(epoll_oneshot) {
  const Pair p = stream();
  const Fd e = instance();
  add(e, p.server, EPOLLIN | EPOLLONESHOT);
  send(p.client, "ab", 2, 0);
  told("first", waited(e, 3000, {{p.server, "server"}}));
  told("disarmed", waited(e, 0, {{p.server, "server"}}));
  send(p.client, "c", 1, 0);
  told("still", waited(e, 20, {{p.server, "server"}}));
  told("rearm", success(modify(e, p.server, EPOLLIN | EPOLLONESHOT)));
  told("armed", waited(e, 0, {{p.server, "server"}}));
}

BEHAVIOUR(epoll_oneshot_hides_hangup) {
  Pair p = stream();
  const Fd e = instance();
  add(e, p.server, EPOLLIN | EPOLLONESHOT);
  send(p.client, "a", 1, 0);
  told("first", waited(e, 3000, {{p.server, "server"}}));
  reset_on_close(p.client);
  p.client.reset();
  ready(p.server, POLLERR);
  told("reset", waited(e, 0, {{p.server, "server"}}));
}

BEHAVIOUR(epoll_errors_need_no_asking) {
  Pair p = stream();
  const Fd e = instance();
  add(e, p.server, 0);
  reset_on_close(p.client);
  p.client.reset();
  ready(p.server, POLLERR);
  told("events", waited(e, 1000, {{p.server, "server"}}));
}

BEHAVIOUR(epoll_hangup_of_a_fresh_socket) {
  const Fd s(socket(AF_INET, SOCK_STREAM, 0));
  const Fd e = instance();
  add(e, s, EPOLLIN | EPOLLOUT);
  told("events", waited(e, 0, {{s, "socket"}}));
}

BEHAVIOUR(epoll_control_errors) {
  const Pair p = stream();
  const Fd e = instance();
  told("mod_unknown", success(modify(e, p.server, EPOLLIN)));
  told("del_unknown", success(epoll_ctl(e, EPOLL_CTL_DEL, p.server, nullptr)));
  told("add", success(add(e, p.server, EPOLLIN)));
  told("twice", success(add(e, p.server, EPOLLIN)));
  told("del", success(epoll_ctl(e, EPOLL_CTL_DEL, p.server, nullptr)));
  told("bad_op", success(epoll_ctl(e, 9, p.server, nullptr)));
  told("bad_fd", success(add(e, 5000, EPOLLIN)));
  told("bad_epoll", success(add(5000, p.server, EPOLLIN)));
  told("not_epoll", success(add(p.client, p.server, EPOLLIN)));
  told("itself", success(add(e, e, EPOLLIN)));
  epoll_event event;
  told("no_room", outcome(epoll_wait(e, &event, 0, 0)));
  told("wait_on_socket", outcome(epoll_wait(p.client, &event, 1, 0)));
  told("size", success(epoll_create(0)));
  told("flags", success(epoll_create1(12345)));
}

BEHAVIOUR(epoll_close_removes) {
  Pair p = stream();
  const Fd e = instance();
  add(e, p.server, EPOLLIN);
  send(p.client, "a", 1, 0);
  told("there", waited(e, 3000, {{p.server, "server"}}));
  p.server.reset();
  told("gone", waited(e, 0, {}));
}

BEHAVIOUR(epoll_close_of_one_of_two_fds_stays) {
  Pair p = stream();
  const Fd e = instance();
  add(e, p.server, EPOLLIN, 77);
  const Fd copy(dup(p.server));
  send(p.client, "a", 1, 0);
  p.server.reset();
  told("stays", waited(e, 3000, {{77, "first"}}));
}

BEHAVIOUR(epoll_two_fds_of_one_socket) {
  const Pair p = stream();
  const Fd e = instance();
  const Fd copy(dup(p.server));
  told("first", success(add(e, p.server, EPOLLIN, 1)));
  told("second", success(add(e, copy, EPOLLIN, 2)));
  send(p.client, "a", 1, 0);
  ready(p.server);
  told("both", waited(e, 100, {{1, "first"}, {2, "second"}}));
}

BEHAVIOUR(epoll_number_used_again) {
  Pair p = stream();
  Pair q = stream();
  const Fd e = instance();
  add(e, p.server, EPOLLIN);
  const int number = p.server;
  p.server.reset();
  const Fd again(fcntl(q.server, F_DUPFD, number));
  told("same_number", again == number);
  told("add", success(add(e, again, EPOLLIN)));
  send(q.client, "a", 1, 0);
  told("events", waited(e, 3000, {{again, "again"}}));
}

BEHAVIOUR(epoll_mixes_kernel_and_sockets) {
  const Pair p = stream();
  const Fd bell(eventfd(0, 0));
  int pipes[2];
  told("pipe", success(pipe(pipes)));
  const Fd in(pipes[0]);
  const Fd out(pipes[1]);
  const Fd e = instance();
  add(e, p.server, EPOLLIN, 1);
  add(e, bell, EPOLLIN, 2);
  add(e, in, EPOLLIN, 3);
  const std::vector<std::pair<int, const char*>> names{{1, "socket"}, {2, "bell"}, {3, "pipe"}};
  told("nothing", waited(e, 0, names));
  eventfd_write(bell, 1);
  told("bell", waited(e, 3000, names));
  send(p.client, "a", 1, 0);
  ready(p.server);
  poll(nullptr, 0, 2);
  told("two", waited(e, 100, names));
  told("write", outcome(write(out, "x", 1)));
  poll(nullptr, 0, 2);
  told("three", waited(e, 100, names));
  std::string seen;
  for (int i = 0; i < 12; ++i) {
    epoll_event one;
    if (epoll_wait(e, &one, 1, 100) == 1) seen.push_back(static_cast<char>('0' + one.data.u64));
    poll(nullptr, 0, 1);
  }
  // With room for one, nobody starves.
  told("fair", seen.find('1') != std::string::npos &&
                   (seen.find('2') != std::string::npos || seen.find('3') != std::string::npos));
}

BEHAVIOUR(epoll_wakes_for_a_kernel_fd) {
  const Pair p = stream();
  const Fd bell(eventfd(0, 0));
  const Fd e = instance();
  add(e, p.server, EPOLLIN, 1);
  add(e, bell, EPOLLIN, 2);
  std::thread ringer([&] {
    poll(nullptr, 0, 30);
    eventfd_write(bell, 1);
  });
  told("woken", waited(e, 3000, {{1, "socket"}, {2, "bell"}}));
  ringer.join();
}

BEHAVIOUR(epoll_wakes_for_a_socket) {
  const Pair p = stream();
  const Fd e = instance();
  add(e, p.server, EPOLLIN, 1);
  std::thread sender([&] {
    poll(nullptr, 0, 30);
    send(p.client, "x", 1, 0);
  });
  told("woken", waited(e, 3000, {{1, "socket"}}));
  sender.join();
}

BEHAVIOUR(epoll_add_while_another_thread_waits) {
  const Pair p = stream();
  send(p.client, "x", 1, 0);
  ready(p.server);
  const Fd e = instance();
  std::thread adder([&] {
    poll(nullptr, 0, 30);
    add(e, p.server, EPOLLIN, 1);
  });
  told("woken", waited(e, 3000, {{1, "socket"}}));
  adder.join();
  told("and_later", waited(e, 0, {{1, "socket"}}));
}

BEHAVIOUR(epoll_second_add_while_another_thread_waits) {
  const Pair p = stream();
  const Pair q = stream();
  send(q.client, "x", 1, 0);
  ready(q.server);
  const Fd e = instance();
  add(e, p.server, EPOLLIN, 1);
  std::thread adder([&] {
    poll(nullptr, 0, 30);
    add(e, q.server, EPOLLIN, 2);
  });
  told("woken", waited(e, 3000, {{1, "first"}, {2, "second"}}));
  adder.join();
}

BEHAVIOUR(epoll_two_waiters_one_event) {
  const Pair p = stream();
  const Fd e = instance();
  add(e, p.server, EPOLLIN | EPOLLET, 1);
  int woken[2] = {0, 0};
  std::thread first([&] {
    epoll_event event;
    woken[0] = epoll_wait(e, &event, 1, 300);
  });
  std::thread second([&] {
    epoll_event event;
    woken[1] = epoll_wait(e, &event, 1, 300);
  });
  poll(nullptr, 0, 50);
  send(p.client, "x", 1, 0);
  first.join();
  second.join();
  told("sum", woken[0] + woken[1]);
}

BEHAVIOUR(epoll_timeout) {
  const Pair p = stream();
  const Fd e = instance();
  add(e, p.server, EPOLLIN, 1);
  const double begin = now();
  told("wait", waited(e, 60, {}));
  told("waited", now() - begin >= 0.059 && now() - begin < 2);
}

BEHAVIOUR(epoll_poll_on_the_instance) {
  const Pair p = stream();
  const Fd e = instance();
  add(e, p.server, EPOLLIN, 1);
  told("before", polled(e, POLLIN));
  send(p.client, "x", 1, 0);
  told("ready", ready(e));
  told("after", polled(e, POLLIN));
  received(p.server, 1);
  told("read", polled(e, POLLIN));
}

BEHAVIOUR(epoll_in_epoll) {
  const Pair p = stream();
  const Fd inner = instance();
  const Fd outer = instance();
  add(inner, p.server, EPOLLIN, 1);
  told("nest", success(add(outer, inner, EPOLLIN, 2)));
  told("before", waited(outer, 0, {}));
  send(p.client, "x", 1, 0);
  told("woken", waited(outer, 3000, {{2, "inner"}}));
  told("inner", waited(inner, 0, {{1, "socket"}}));
  received(p.server, 1);
  told("read", waited(outer, 0, {{2, "inner"}}));
}

BEHAVIOUR(epoll_dup_of_the_instance) {
  const Pair p = stream();
  Fd e = instance();
  const Fd copy(dup(e));
  add(e, p.server, EPOLLIN, 1);
  send(p.client, "x", 1, 0);
  told("copy", waited(copy, 3000, {{1, "socket"}}));
  e.reset();
  told("after_close", waited(copy, 0, {{1, "socket"}}));
}

BEHAVIOUR(epoll_listener) {
  const Fd l = listener();
  const Fd e = instance();
  add(e, l, EPOLLIN, 1);
  told("idle", waited(e, 0, {{1, "listener"}}));
  const Fd c = client_of(l);
  told("waiting", waited(e, 3000, {{1, "listener"}}));
  const Fd s(accept(l, nullptr, nullptr));
  told("accepted", waited(e, 0, {{1, "listener"}}));
}

BEHAVIOUR(epoll_edge_listener_tells_every_connection) {
  const Fd l = listener();
  const Fd e = instance();
  add(e, l, EPOLLIN | EPOLLET, 1);
  const Fd a = client_of(l);
  told("first", waited(e, 3000, {{1, "listener"}}));
  told("quiet", waited(e, 0, {{1, "listener"}}));
  const Fd b = client_of(l);
  told("second", waited(e, 3000, {{1, "listener"}}));
}

BEHAVIOUR(epoll_connect_completes) {
  const Fd l = listener();
  const Fd c(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  const Address to = name_of(l);
  const int begun = connect(c, to.get(), to.length);
  told("begun", begun == 0 || errno == EINPROGRESS);
  const Fd e = instance();
  add(e, c, EPOLLOUT, 1);
  told("done", waited(e, 3000, {{1, "client"}}));
  told("error", get_option(c, SOL_SOCKET, SO_ERROR));
}

BEHAVIOUR(epoll_socket_added_before_connect) {
  const Fd l = listener();
  const Fd c(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  const Fd e = instance();
  told("add", success(add(e, c, EPOLLOUT | EPOLLIN | EPOLLET, 1)));
  told("hangup", waited(e, 0, {{1, "client"}}));
  const Address to = name_of(l);
  const int begun = connect(c, to.get(), to.length);
  told("begun", begun == 0 || errno == EINPROGRESS);
  told("done", waited(e, 3000, {{1, "client"}}));
}

BEHAVIOUR(epoll_socket_added_before_refused_connect) {
  Fd l = listener();
  const Address to = name_of(l);
  l.reset();
  const Fd c(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  const Fd e = instance();
  add(e, c, EPOLLOUT | EPOLLIN | EPOLLET, 1);
  told("hangup", waited(e, 0, {{1, "client"}}));
  const int begun = connect(c, to.get(), to.length);
  told("begun", begun == 0 || errno == EINPROGRESS || errno == ECONNREFUSED);
  told("refused", waited(e, 3000, {{1, "client"}}));
}

BEHAVIOUR(epoll_pwait_variants) {
  const Pair p = stream();
  const Fd e = instance();
  add(e, p.server, EPOLLIN, 1);
  epoll_event event;
  sigset_t none;
  sigemptyset(&none);
  told("pwait", outcome(epoll_pwait(e, &event, 1, 0, &none)));
  const timespec t{0, 1'000'000};
  told("pwait2", outcome(epoll_pwait2(e, &event, 1, &t, nullptr)));
  const timespec wrong{0, -1};
  told("wrong", outcome(epoll_pwait2(e, &event, 1, &wrong, nullptr)));
}

BEHAVIOUR(epoll_exclusive) {
  const Fd l = listener();
  const Fd a = instance();
  const Fd b = instance();
  told("a", success(add(a, l, EPOLLIN | EPOLLEXCLUSIVE, 1)));
  told("b", success(add(b, l, EPOLLIN | EPOLLEXCLUSIVE, 1)));
  told("mod", success(modify(a, l, EPOLLIN)));
  const Fd c = client_of(l);
  told("one", waited(a, 1000, {{1, "listener"}}));
}

BEHAVIOUR(epoll_udp) {
  const Pair p = datagrams();
  const Fd e = instance();
  add(e, p.server, EPOLLIN | EPOLLOUT | EPOLLET, 1);
  told("writable", waited(e, 0, {{1, "server"}}));
  send(p.client, "x", 1, 0);
  told("one", waited(e, 3000, {{1, "server"}}));
  send(p.client, "y", 1, 0);
  told("two", waited(e, 3000, {{1, "server"}}));
}

BEHAVIOUR(epoll_shared_over_fork) {
  const Pair p = stream();
  const Fd e = instance();
  add(e, p.server, EPOLLIN, 1);
  const pid_t child = fork();
  if (child == 0) {
    epoll_event event;
    const int n = epoll_wait(e, &event, 1, 3000);
    _exit(n == 1 && event.data.u64 == 1 ? 5 : 6);
  }
  send(p.client, "x", 1, 0);
  int status = 0;
  waitpid(child, &status, 0);
  told("child", WEXITSTATUS(status));
  told("parent", waited(e, 0, {{1, "socket"}}));
}

}  // namespace
