#include <spawn.h>
#include <sys/wait.h>

#include <cstdlib>
#include <thread>

#include "conformance.h"

using namespace conformance;

namespace {

int exit_of(pid_t child) {
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

BEHAVIOUR(fork_child_uses_a_connection) {
  const Pair p = stream();
  const pid_t child = fork();
  if (child == 0) {
    char c = 0;
    const bool good = recv(p.server, &c, 1, 0) == 1 && send(p.server, "child", 5, 0) == 5;
    _exit(good && c == 'q' ? 7 : 8);
  }
  send(p.client, "q", 1, 0);
  told("reply", received(p.client, 10));
  told("exit", exit_of(child));
  told("still", outcome(send(p.server, "parent", 6, 0)));
  told("hears", received(p.client, 10));
}

BEHAVIOUR(fork_connection_lives_until_both_closed) {
  Pair p = stream();
  int pipes[2];
  if (pipe(pipes) != 0) return;
  const pid_t child = fork();
  if (child == 0) {
    char c;
    const ssize_t n = read(pipes[0], &c, 1);
    _exit(static_cast<int>(n));
  }
  p.server.reset();
  told("alive", received(p.client, 1, MSG_DONTWAIT));
  poll(nullptr, 0, 50);
  told("still", polled(p.client, POLLIN));
  told("write", outcome(write(pipes[1], "x", 1)));
  told("child", exit_of(child));
  told("end", received(p.client, 1));
  close(pipes[0]);
  close(pipes[1]);
}

BEHAVIOUR(fork_child_closes_its_copy) {
  const Pair p = stream();
  const pid_t child = fork();
  if (child == 0) {
    close(p.client);
    close(p.server);
    _exit(0);
  }
  told("child", exit_of(child));
  told("send", outcome(send(p.client, "x", 1, 0)));
  told("recv", received(p.server, 10));
}

BEHAVIOUR(fork_child_shuts_down_for_all) {
  const Pair p = stream();
  const pid_t child = fork();
  if (child == 0) {
    shutdown(p.client, SHUT_WR);
    _exit(0);
  }
  told("child", exit_of(child));
  told("end", received(p.server, 1));
  told("send", outcome(send(p.client, "x", 1, MSG_NOSIGNAL)));
}

BEHAVIOUR(fork_children_share_a_listener) {
  const Fd l = listener();
  pid_t children[2];
  for (pid_t& child : children) {
    child = fork();
    if (child != 0) continue;
    for (int served = 0;; ++served) {
      const Fd s(accept(l, nullptr, nullptr));
      char c = 0;
      if (s < 0 || recv(s, &c, 1, 0) != 1) _exit(99);
      if (c == 'q') _exit(0);
      send(s, &c, 1, 0);
    }
  }
  int answered = 0;
  for (int i = 0; i < 20; ++i) {
    const Fd c = client_of(l);
    send(c, "e", 1, 0);
    answered += received(c, 1) == "1:e" ? 1 : 0;
  }
  told("answered", answered);
  // Each quit must reach a child that is still there.
  int gone = 0;
  for (int i = 0; i < 200 && gone < 2; ++i) {
    const Fd c = client_of(l);
    send(c, "q", 1, MSG_NOSIGNAL);
    poll(nullptr, 0, 10);
    while (waitpid(-1, nullptr, WNOHANG) > 0) ++gone;
  }
  told("gone", gone);
}

/// Serves `most` connections of a listener, or all that come, with an echo of one byte.
void echo(int listener, int most) {
  for (int served = 0; served < most; ++served) {
    const Fd s(accept(listener, nullptr, nullptr));
    char c = 0;
    if (s < 0 || recv(s, &c, 1, 0) != 1 || send(s, &c, 1, 0) != 1) _exit(99);
  }
}

BEHAVIOUR(fork_child_leaves_its_queue) {
  const Fd l = listener();
  int gate[2];
  if (pipe(gate) != 0) return;
  const pid_t first = fork();
  if (first == 0) {
    char c = 0;
    echo(l, 1);
    _exit(read(gate[0], &c, 1) == 1 ? 0 : 1);
  }
  const Fd sign = client_of(l);
  send(sign, "s", 1, 0);
  told("first", received(sign, 1));
  constexpr int kQueued = 12;
  std::vector<Fd> clients;
  for (int i = 0; i < kQueued; ++i) {
    clients.push_back(client_of(l));
    send(clients.back(), "e", 1, 0);
  }
  told("go", outcome(write(gate[1], "g", 1)));
  told("exit", exit_of(first));
  const pid_t second = fork();
  if (second == 0) {
    echo(l, kQueued);
    _exit(0);
  }
  int answered = 0;
  for (const Fd& c : clients) answered += ready(c) && received(c, 1) == "1:e" ? 1 : 0;
  told("answered", answered);
  kill(second, answered == kQueued ? 0 : SIGKILL);
  told("second", exit_of(second));
  close(gate[0]);
  close(gate[1]);
}

BEHAVIOUR(fork_child_opens_its_own) {
  const Pair before = stream();
  const pid_t child = fork();
  if (child == 0) {
    const Pair p = stream();
    send(p.client, "x", 1, 0);
    _exit(received(p.server, 1) == "1:x" ? 3 : 4);
  }
  told("child", exit_of(child));
}

BEHAVIOUR(fork_child_connects_to_its_parent) {
  const Fd l = listener();
  const pid_t child = fork();
  if (child == 0) {
    const Fd c = client_of(l);
    send(c, "from child", 10, 0);
    const bool answered = received(c, 10) == "2:ok";
    _exit(answered ? 3 : 4);
  }
  const Fd s(accept(l, nullptr, nullptr));
  told("recv", received(s, 20));
  send(s, "ok", 2, 0);
  told("child", exit_of(child));
}

BEHAVIOUR(fork_with_threads_running) {
  const Pair p = stream();
  std::thread echo([&] {
    char c;
    while (recv(p.server, &c, 1, 0) == 1) send(p.server, &c, 1, 0);
  });
  bool good = true;
  for (int i = 0; i < 10; ++i) {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    send(p.client, "x", 1, 0);
    good = good && received(p.client, 1) == "1:x" && exit_of(child) == 0;
  }
  told("good", good);
  shutdown(p.client, SHUT_WR);
  echo.join();
}

BEHAVIOUR(killed_child_ends_its_connection) {
  const Fd l = listener();
  const pid_t child = fork();
  if (child == 0) {
    const Fd s(accept(l, nullptr, nullptr));
    send(s, "x", 1, 0);
    pause();
    _exit(0);
  }
  const Fd c = client_of(l);
  told("served", received(c, 1));
  const double begin = now();
  kill(child, SIGKILL);
  told("killed", exit_of(child));
  ready(c, POLLIN);
  const std::string end = received(c, 1);
  told("ended", end == "0" || end == "ECONNRESET");
  told("soon", now() - begin < 1.0);
}

BEHAVIOUR(exit_of_a_child_is_end_of_stream) {
  const Fd l = listener();
  const pid_t child = fork();
  if (child == 0) {
    const Fd c = client_of(l);
    send(c, "bye", 3, 0);
    _exit(0);
  }
  const Fd s(accept(l, nullptr, nullptr));
  told("data", received(s, 10, MSG_WAITALL));
  told("end", received(s, 10));
  told("child", exit_of(child));
}

BEHAVIOUR(spawned_program_does_not_keep_a_connection) {
  Pair p = stream();
  fcntl(p.server, F_SETFD, FD_CLOEXEC);
  fcntl(p.client, F_SETFD, FD_CLOEXEC);
  const pid_t child = fork();
  if (child == 0) {
    execl("/bin/sleep", "sleep", "3", nullptr);
    _exit(1);
  }
  poll(nullptr, 0, 200);
  p.server.reset();
  told("end", received(p.client, 1));
  kill(child, SIGKILL);
  told("child", exit_of(child));
}

BEHAVIOUR(failed_exec_keeps_sockets) {
  const Pair p = stream();
  const pid_t child = fork();
  if (child == 0) {
    execl("/nonexistent/program", "program", nullptr);
    const bool good = errno == ENOENT;
    execlp("no-such-program-anywhere", "program", nullptr);
    send(p.client, "x", 1, MSG_NOSIGNAL);
    _exit(good ? 5 : 6);
  }
  told("child", exit_of(child));
  told("recv", received(p.server, 1));
}

BEHAVIOUR(vfork_child_that_closes_everything) {
  const Pair p = stream();
  const pid_t child = vfork();
  if (child == 0) {
    close_range(3, ~0U, 0);
    execl("/bin/true", "true", nullptr);
    _exit(1);
  }
  told("child", exit_of(child));
  told("send", outcome(send(p.client, "x", 1, 0)));
  told("recv", received(p.server, 10));
}

BEHAVIOUR(spawn_and_system) {
  const Pair p = stream();
  pid_t child = -1;
  char name[] = "true";
  char* arguments[] = {name, nullptr};
  told("spawn", posix_spawn(&child, "/bin/true", nullptr, nullptr, arguments, environ));
  told("child", exit_of(child));
  told("system", WEXITSTATUS(std::system("exit 3")));
  send(p.client, "x", 1, 0);
  told("recv", received(p.server, 10));
}

BEHAVIOUR(shells_use_a_connection) {
  const Pair p = stream();
  const std::string fd = std::to_string(p.server);
  send(p.client, "one\n", 4, 0);
  told("system", std::system(("read x <&" + fd + "; printf 'got %s' $x >&" + fd).c_str()));
  told("reply", received(p.client, 20));
  send(p.client, "two\n", 4, 0);
  FILE* from = popen(("read x <&" + fd + "; printf 'also %s' $x; exit 4").c_str(), "r");
  char text[20] = {};
  told("popen", from != nullptr && fgets(text, sizeof text, from) != nullptr ? text : "nothing");
  told("status", from != nullptr ? WEXITSTATUS(pclose(from)) : -1);
  FILE* to = popen(("cat >&" + fd).c_str(), "we");
  told("put", to != nullptr ? fputs("three", to) >= 0 : -1);
  told("closed", to != nullptr ? pclose(to) : -1);
  told("comes", received(p.client, 20));
  told("mode", popen("true", "rw") == nullptr);
  told("killed", std::system("kill -9 $$"));
}

}  // namespace
