#include <signal.h>

#include <atomic>
#include <thread>

#include "base/random.h"
#include "runtime/runtime_fixture.h"

// Many processes that come and go, politely or not, beside others that must not notice: every
// message arrives, and nobody waits for ever.
namespace ringway::runtime {
namespace {

class StressTest : public RuntimeTest {
 protected:
  /// Answers everything on every connection that `l` gets, until it is told to stop.
  void serve(SocketId l) {
    const SetId set = runtime_->set_create();
    add(set, l);
    std::array<epoll_event, 16> events;
    while (!stop_.load()) {
      const auto inside = step();
      const int n = runtime_->set_wait(set, events, {}, look(), nullptr);
      for (int i = 0; i < n; ++i) answer(set, l, events[static_cast<std::size_t>(i)].data.u64);
    }
    runtime_->set_destroy(set);
  }
  void end_service() {
    stop_ = true;
    server_.join();
  }

  /// A peer's life: connects, has some messages answered. 0 if all went well.
  int talk(const base::Endpoint& name, int messages) {
    const SocketId c = connect(name);
    if ((await(c, EPOLLOUT) & EPOLLOUT) == 0) return 1;
    for (int i = 0; i < messages; ++i) {
      if (put(c, "ping") != 4) return 2;
      if (get(c) != "ping") return 3;
    }
    return 0;
  }

  std::atomic<bool> stop_{false};
  std::thread server_;

 private:
  base::Instant look() const { return runtime_->now() + base::Duration::milliseconds(50); }
  void add(SetId set, SocketId s) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = std::uint64_t{s.generation} << 32 | s.index;
    EXPECT_EQ(runtime_->set_control(set, EPOLL_CTL_ADD, s, static_cast<int>(s.index), event), 0);
  }
  void answer(SetId set, SocketId l, std::uint64_t data) {
    const SocketId s{static_cast<std::uint32_t>(data), static_cast<std::uint32_t>(data >> 32),
                     l.arena};
    if (s == l) {
      SocketId made;
      base::Endpoint peer;
      while (runtime_->accept(l, &made, &peer) == 0) add(set, made);
      return;
    }
    std::array<char, 64> buffer;
    const iovec v{buffer.data(), buffer.size()};
    const ssize_t n = runtime_->receive(s, &v, 1, 0, nullptr, nullptr);
    if (n == -EAGAIN) return;
    if (n <= 0) {
      runtime_->release(s);
    } else {
      put(s, std::string(buffer.data(), static_cast<std::size_t>(n)));
    }
  }
};

TEST_F(StressTest, PeersAreKilledOrStoppedAtAnyMoment_OthersAreAnswered) {
  const SocketId l = listener(128);
  const base::Endpoint name = name_of(l);
  server_ = started([&, l] { serve(l); });
  const pid_t witness = forked([&] { return talk(name, 2'000); });
  base::Random random = base::Random::seeded(5);
  for (int round = 0; round < 12; ++round) {
    std::array<pid_t, 4> peers;
    for (pid_t& peer : peers) peer = forked([&] { return talk(name, 1'000'000); });
    for (const pid_t peer : peers) {
      const timespec some{0, random.below(8'000'000)};
      ::nanosleep(&some, nullptr);  // where in its life it ends is left to chance
      EXPECT_EQ(::kill(peer, random.below(2) == 0 ? SIGSTOP : SIGCONT), 0);
    }
    for (const pid_t peer : peers) {
      EXPECT_EQ(::kill(peer, SIGKILL), 0);
      EXPECT_EQ(code_of(peer), -1);
    }
  }
  EXPECT_EQ(code_of(witness), 0);
  end_service();
}

TEST_F(StressTest, ManyShortLives_WhileTheDaemonIsAsked_EachIsAnswered) {
  if (!kChildrenMayLeave)
    GTEST_SKIP() << "the thread sanitizer does not follow threads of forked children";
  const SocketId l = listener(128);
  const base::Endpoint name = name_of(l);
  server_ = started([&, l] { serve(l); });
  std::thread asker = started([&] {
    while (!stop_.load()) {
      const auto inside = step();
      runtime_->release(listener());
    }
  });
  for (int round = 0; round < 8; ++round) {
    std::array<pid_t, 6> peers;
    for (std::size_t i = 0; i < peers.size(); ++i) {
      peers[i] = forked([&, polite = i % 2 == 0] {
        const int told = talk(name, 3);
        if (polite) runtime_->leave();
        return told;
      });
    }
    for (const pid_t peer : peers) EXPECT_EQ(code_of(peer), 0);
  }
  end_service();
  asker.join();
}

}  // namespace
}  // namespace ringway::runtime
