#include <sys/eventfd.h>

#include <thread>

#include "conformance.h"

using namespace conformance;

namespace {

BEHAVIOUR(poll_bits) {
  const Pair p = stream();
  told("idle", polled(p.server));
  send(p.client, "x", 1, 0);
  ready(p.server);
  told("data", polled(p.server));
  told("only_asked", polled(p.server, POLLOUT));
  told("normal", polled(p.server, POLLRDNORM | POLLWRNORM));
  told("none", polled(p.server, 0));
  told("closed_fd", polled(5000));
}

BEHAVIOUR(poll_negative_fd_is_skipped) {
  const Pair p = stream();
  pollfd items[2] = {{-1, POLLIN, 77}, {p.server, POLLOUT, 77}};
  told("poll", outcome(poll(items, 2, 0)));
  told("first", bits(static_cast<unsigned short>(items[0].revents)));
  told("second", bits(static_cast<unsigned short>(items[1].revents)));
}

BEHAVIOUR(poll_same_socket_twice) {
  const Pair p = stream();
  send(p.client, "x", 1, 0);
  ready(p.server);
  pollfd items[2] = {{p.server, POLLIN, 0}, {p.server, POLLOUT, 0}};
  told("poll", outcome(poll(items, 2, 0)));
  told("first", bits(static_cast<unsigned short>(items[0].revents)));
  told("second", bits(static_cast<unsigned short>(items[1].revents)));
}

BEHAVIOUR(poll_timeout) {
  const Pair p = stream();
  pollfd item{p.server, POLLIN, 0};
  const double begin = now();
  told("poll", outcome(poll(&item, 1, 60)));
  told("waited", now() - begin >= 0.059 && now() - begin < 2);
}

BEHAVIOUR(poll_wakes_for_both_worlds) {
  const Pair p = stream();
  const Fd bell(eventfd(0, 0));
  std::thread ringer([&] {
    poll(nullptr, 0, 30);
    eventfd_write(bell, 1);
    poll(nullptr, 0, 60);
    send(p.client, "x", 1, 0);
  });
  pollfd items[2] = {{p.server, POLLIN, 0}, {bell, POLLIN, 0}};
  told("bell", outcome(poll(items, 2, 3000)));
  told("which", bits(static_cast<unsigned short>(items[1].revents)));
  eventfd_t value;
  eventfd_read(bell, &value);
  told("socket", outcome(poll(items, 2, 3000)));
  told("that", bits(static_cast<unsigned short>(items[0].revents)));
  told("not_that", bits(static_cast<unsigned short>(items[1].revents)));
  ringer.join();
}

BEHAVIOUR(poll_many) {
  std::vector<Pair> pairs;
  std::vector<pollfd> items;
  for (int i = 0; i < 100; ++i) {
    pairs.push_back(stream());
    items.push_back({pairs.back().server, POLLIN, 0});
  }
  send(pairs[7].client, "x", 1, 0);
  send(pairs[93].client, "x", 1, 0);
  ready(pairs[7].server);
  ready(pairs[93].server);
  told("poll", outcome(poll(items.data(), items.size(), 1000)));
  told("seven", bits(static_cast<unsigned short>(items[7].revents)));
  told("eight", bits(static_cast<unsigned short>(items[8].revents)));
}

BEHAVIOUR(ppoll_times) {
  const Pair p = stream();
  pollfd item{p.server, POLLIN, 0};
  const timespec t{0, 30'000'000};
  told("ppoll", outcome(ppoll(&item, 1, &t, nullptr)));
  const timespec wrong{-1, 0};
  told("wrong", outcome(ppoll(&item, 1, &wrong, nullptr)));
}

std::string selected(int fd, bool read, bool write, bool except, timeval* timeout) {
  fd_set r, w, x;
  FD_ZERO(&r);
  FD_ZERO(&w);
  FD_ZERO(&x);
  FD_SET(fd, &r);
  FD_SET(fd, &w);
  FD_SET(fd, &x);
  const int n =
      select(fd + 1, read ? &r : nullptr, write ? &w : nullptr, except ? &x : nullptr, timeout);
  if (n < 0) return outcome(n);
  std::string text = std::to_string(n);
  if (read) text += FD_ISSET(fd, &r) ? " r" : " -";
  if (write) text += FD_ISSET(fd, &w) ? " w" : " -";
  if (except) text += FD_ISSET(fd, &x) ? " x" : " -";
  return text;
}

BEHAVIOUR(select_sets) {
  Pair p = stream();
  timeval zero{0, 0};
  told("idle", selected(p.server, true, true, true, &zero));
  send(p.client, "x", 1, 0);
  ready(p.server);
  told("data", selected(p.server, true, true, true, &zero));
  received(p.server, 1);
  timeval t{0, 50'000};
  told("timeout", selected(p.server, true, false, false, &t));
  told("left", t.tv_sec * 1'000'000 + t.tv_usec);
  reset_on_close(p.client);
  p.client.reset();
  ready(p.server, POLLERR);
  told("reset", selected(p.server, true, true, true, &zero));
}

BEHAVIOUR(select_reports_time_left) {
  const Pair p = stream();
  std::thread sender([&] {
    poll(nullptr, 0, 20);
    send(p.client, "x", 1, 0);
  });
  timeval t{5, 0};
  told("select", selected(p.server, true, false, false, &t));
  told("left", t.tv_sec == 4);
  sender.join();
}

BEHAVIOUR(select_errors) {
  Pair p = stream();
  const int number = p.server;
  timeval negative{-1, 0};
  told("negative", selected(number, true, false, false, &negative));
  const int gone = dup(number);
  close(gone);
  fd_set r;
  FD_ZERO(&r);
  FD_SET(gone, &r);
  FD_SET(number, &r);
  timeval zero{0, 0};
  told("closed", outcome(select(gone + 1, &r, nullptr, nullptr, &zero)));
}

BEHAVIOUR(pselect_waits) {
  const Pair p = stream();
  fd_set r;
  FD_ZERO(&r);
  FD_SET(p.server, &r);
  const timespec t{0, 20'000'000};
  told("pselect", outcome(pselect(p.server + 1, &r, nullptr, nullptr, &t, nullptr)));
}

volatile int g_alarms = 0;
void on_signal(int) { g_alarms = g_alarms + 1; }

/// Sends this thread a signal a little later.
template <typename F>
void interrupted(int flags, F f) {
  g_alarms = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = flags;
  sigaction(SIGUSR1, &action, nullptr);
  const pthread_t self = pthread_self();
  std::thread killer([&] {
    poll(nullptr, 0, 40);
    pthread_kill(self, SIGUSR1);
  });
  f();
  killer.join();
  told("handled", g_alarms);
}

BEHAVIOUR(signal_ends_recv) {
  const Pair p = stream();
  interrupted(0, [&] { told("recv", received(p.server, 1)); });
}

BEHAVIOUR(signal_restarts_recv) {
  const Pair p = stream();
  std::thread sender([&] {
    poll(nullptr, 0, 120);
    send(p.client, "x", 1, 0);
  });
  interrupted(SA_RESTART, [&] { told("recv", received(p.server, 1)); });
  sender.join();
}

BEHAVIOUR(signal_ends_recv_with_timeout) {
  const Pair p = stream();
  const timeval t{2, 0};
  setsockopt(p.server, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
  interrupted(SA_RESTART, [&] { told("recv", received(p.server, 1)); });
}

BEHAVIOUR(signal_ends_accept) {
  const Fd l = listener();
  interrupted(0, [&] { told("accept", success(accept(l, nullptr, nullptr))); });
}

BEHAVIOUR(signal_ends_poll_always) {
  const Pair p = stream();
  pollfd item{p.server, POLLIN, 0};
  interrupted(SA_RESTART, [&] { told("poll", outcome(poll(&item, 1, 2000))); });
}

BEHAVIOUR(signal_ends_select) {
  const Pair p = stream();
  timeval t{2, 0};
  interrupted(SA_RESTART, [&] { told("select", selected(p.server, true, false, false, &t)); });
}

BEHAVIOUR(signal_ends_epoll_wait) {
  const Pair p = stream();
  const Fd e(epoll_create1(0));
  epoll_event event{};
  event.events = EPOLLIN;
  epoll_ctl(e, EPOLL_CTL_ADD, p.server, &event);
  interrupted(SA_RESTART, [&] { told("wait", outcome(epoll_wait(e, &event, 1, 2000))); });
}

BEHAVIOUR(signal_ends_send) {
  const Pair p = stream();
  fill(p.client);
  set_nonblocking(p.client, false);
  interrupted(0, [&] { told("send", outcome(send(p.client, "x", 1, 0))); });
}

BEHAVIOUR(ppoll_mask_lets_a_signal_in) {
  const Pair p = stream();
  g_alarms = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGUSR1, &action, nullptr);
  sigset_t blocked, before, none;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR1);
  sigemptyset(&none);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  raise(SIGUSR1);
  told("held", g_alarms);
  pollfd item{p.server, POLLIN, 0};
  const timespec t{2, 0};
  told("ppoll", outcome(ppoll(&item, 1, &t, &none)));
  told("came", g_alarms);
  raise(SIGUSR1);
  const Fd e(epoll_create1(0));
  epoll_event event{};
  event.events = EPOLLIN;
  epoll_ctl(e, EPOLL_CTL_ADD, p.server, &event);
  told("epoll_pwait", outcome(epoll_pwait(e, &event, 1, 2000, &none)));
  told("came_again", g_alarms);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

BEHAVIOUR(sigaction_tells_what_was_set) {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR2, &action, nullptr);
  struct sigaction back {};
  told("get", success(sigaction(SIGUSR2, nullptr, &back)));
  told("handler", back.sa_handler == on_signal);
  told("flags", (back.sa_flags & (SA_RESTART | SA_SIGINFO)) == SA_RESTART);
  told("signal", signal(SIGUSR2, SIG_DFL) == on_signal);
  told("default", signal(SIGUSR2, SIG_IGN) == SIG_DFL);
  told("ignored", signal(SIGUSR2, SIG_DFL) == SIG_IGN);
  told("kill", success(sigaction(SIGKILL, &action, nullptr)));
  told("nonsense", success(sigaction(1000, &action, nullptr)));
}

}  // namespace
