#include <sys/mman.h>

#include <thread>

#include "runtime/runtime_fixture.h"

#ifdef __SANITIZE_THREAD__
// Children of these tests start threads. Looked up by the sanitizer by this name.
extern "C" __attribute__((visibility("default"))) const char* __tsan_default_options() {  // NOLINT
  return "die_after_fork=0";
}
#endif

namespace ringway::runtime {
namespace {

TEST_F(RuntimeTest, SelfLink_ConnectSendClose_ArrivesWithEndOfStream) {
  const SocketId l = listener();
  const SocketId c = connect(name_of(l));
  const SocketId a = accept(l);
  EXPECT_NE(await(c, EPOLLOUT) & EPOLLOUT, 0U);
  EXPECT_EQ(put(c, "hello"), 5);
  EXPECT_EQ(get(a), "hello");
  runtime_->release(c);
  EXPECT_EQ(get(a), "");
  runtime_->release(a);
  runtime_->release(l);
}

TEST_F(RuntimeTest, Wait_NothingComes_EndsAtItsDeadline) {
  const SocketId l = listener();
  WaitItem item{l, EPOLLIN, 0};
  const base::Instant deadline = runtime_->now() + base::Duration::milliseconds(3);
  EXPECT_EQ(runtime_->wait({&item, 1}, {}, deadline, nullptr), 0);
  EXPECT_GE(runtime_->now(), deadline);
}

TEST_F(RuntimeTest, Set_ReadableSocket_IsReportedUntilRead) {
  const SocketId l = listener();
  const SocketId c = connect(name_of(l));
  const SocketId a = accept(l);
  const SetId set = runtime_->set_create();
  epoll_event wanted{};
  wanted.events = EPOLLIN;
  wanted.data.u64 = 77;
  EXPECT_EQ(runtime_->set_control(set, EPOLL_CTL_ADD, a, 5, wanted), 0);
  EXPECT_EQ(runtime_->set_control(set, EPOLL_CTL_ADD, a, 5, wanted), -EEXIST);
  std::array<epoll_event, 4> out;
  EXPECT_EQ(runtime_->set_collect(set, out), 0);
  std::thread sender([&] { EXPECT_EQ(put(c, "x"), 1); });
  EXPECT_EQ(runtime_->set_wait(set, out, {}, soon(), nullptr), 1);
  sender.join();
  EXPECT_EQ(out[0].data.u64, 77U);
  EXPECT_EQ(get(a), "x");
  EXPECT_EQ(runtime_->set_collect(set, out), 0);
  runtime_->set_destroy(set);
}

TEST_F(RuntimeTest, TwoThreads_PingPong_NeitherSleepsForEver) {
  const SocketId l = listener();
  const SocketId c = connect(name_of(l));
  const SocketId a = accept(l);
  std::thread echo([&] {
    for (std::string text = get(a); !text.empty(); text = get(a))
      EXPECT_EQ(put(a, text), static_cast<ssize_t>(text.size()));
  });
  for (int i = 0; i < 300; ++i) {
    ASSERT_EQ(put(c, "ping"), 4);
    ASSERT_EQ(get(c), "ping");
  }
  EXPECT_EQ(runtime_->shutdown(c, SHUT_WR), 0);
  echo.join();
}

TEST_F(RuntimeTest, Fork_ChildSharesTheConnection_BothMayUseIt) {
  const SocketId l = listener();
  const SocketId c = connect(name_of(l));
  const SocketId a = accept(l);
  const pid_t child = forked([&] {
    if (get(a) != "to child") return 1;
    return put(a, "from child") == 10 ? 0 : 2;
  });
  EXPECT_EQ(put(c, "to child"), 8);
  EXPECT_EQ(get(c), "from child");
  EXPECT_EQ(code_of(child), 0);
  EXPECT_EQ(put(a, "parent"), 6);
  EXPECT_EQ(get(c), "parent");
}

TEST_F(RuntimeTest, Fork_BothSleepInOneStack_EachWakesForItsOwn) {
  const SocketId l = listener();
  const base::Endpoint name = name_of(l);
  const Pipe asleep;
  const Pipe go;
  const pid_t peer = forked([&] {
    const SocketId first = connect(name);
    if (await(first, EPOLLOUT) == 0) return 1;
    const SocketId second = connect(name);
    if (await(second, EPOLLOUT) == 0) return 2;
    go.hear();
    for (int i = 0; i < 20; ++i) {
      const timespec pause{0, 2'000'000};  // lets both sleep
      ::nanosleep(&pause, nullptr);
      const SocketId s = i % 2 == 0 ? first : second;
      if (put(s, "ping") != 4 || get(s) != "ping") return 3;
    }
    return 0;
  });
  const SocketId mine = accept(l);
  const SocketId its = accept(l);
  const pid_t child = forked([&] {
    asleep.tell();
    for (int i = 0; i < 10; ++i) {
      if (put(its, get(its)) != 4) return 1;
    }
    return 0;
  });
  asleep.hear();
  // The child sleeps first, so that it is the one who sees what comes for its parent.
  const timespec pause{0, 5'000'000};
  ::nanosleep(&pause, nullptr);
  go.tell();
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(get(mine), "ping");
    ASSERT_EQ(put(mine, "ping"), 4);
  }
  EXPECT_EQ(code_of(child), 0);
  EXPECT_EQ(code_of(peer), 0);
}

TEST_F(RuntimeTest, Fork_ChildIsKilled_ItsHoldsAreReleased) {
  const SocketId l = listener();
  const SocketId c = connect(name_of(l));
  const SocketId a = accept(l);
  const pid_t child = forked([&] {
    for (;;) ::pause();
    return 0;
  });
  runtime_->release(a);  // the child is its only holder now
  EXPECT_EQ(::kill(child, SIGKILL), 0);
  EXPECT_EQ(get(c), "");
  EXPECT_EQ(code_of(child), -1);
}

TEST_F(RuntimeTest, Fork_GrandchildIsKilledAfterItsParent_ItsHoldsAreReleased) {
  const SocketId l = listener();
  const SocketId c = connect(name_of(l));
  const SocketId a = accept(l);
  const Pipe born;
  pid_t* grandchild = static_cast<pid_t*>(
      ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  const pid_t child = forked([&] {
    *grandchild = forked([&] {
      for (;;) ::pause();
      return 0;
    });
    born.tell();
    return 0;
  });
  born.hear();
  EXPECT_EQ(code_of(child), 0);
  runtime_->release(a);
  EXPECT_EQ(::kill(*grandchild, SIGKILL), 0);
  EXPECT_EQ(get(c), "");
  ::munmap(grandchild, 4096);
}

TEST_F(RuntimeTest, Fork_MoreChildrenThanHolders_NobodyIsHurt) {
  const SocketId l = listener();
  const SocketId c = connect(name_of(l));
  const SocketId a = accept(l);
  const Pipe go;
  std::vector<pid_t> children;
  for (int i = 0; i < 70; ++i) {
    children.push_back(forked([&] {
      ::close(go.ends[1]);
      char byte = 0;
      static_cast<void>(::read(go.ends[0], &byte, 1));
      runtime_->leave();
      return 0;
    }));
  }
  for (int i = 0; i < 70; ++i) go.tell();
  for (const pid_t child : children) EXPECT_EQ(code_of(child), 0);
  EXPECT_EQ(put(c, "still here"), 10);
  EXPECT_EQ(get(a), "still here");
}

TEST_F(RuntimeTest, ReusePort_TwoListenersOfOneProcess_BothListen) {
  const int one = 1;
  const SocketId first = stream();
  ASSERT_EQ(runtime_->set_option(first, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one), 0);
  ASSERT_EQ(runtime_->bind(first, {base::IpAddress::loopback_v4(), 0}), 0);
  ASSERT_EQ(runtime_->listen(first, 4), 0);
  const SocketId second = stream();
  ASSERT_EQ(runtime_->set_option(second, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one), 0);
  ASSERT_EQ(runtime_->bind(second, name_of(first)), 0);
  ASSERT_EQ(runtime_->listen(second, 4), 0);
}

TEST_F(RuntimeTest, Connect_AfterRefusal_MayBeTriedAgain) {
  const SocketId l = listener();
  const base::Endpoint name = name_of(l);
  const SocketId c = stream();
  runtime_->release(l);
  EXPECT_LT(runtime_->connect(c, name), 0);
  const SocketId again = stream();
  ASSERT_EQ(runtime_->bind(again, name), 0);
  ASSERT_EQ(runtime_->listen(again, 4), 0);
  EXPECT_EQ(runtime_->connect(c, name), -EINPROGRESS);
  EXPECT_NE(await(c, EPOLLOUT) & EPOLLOUT, 0U);
  EXPECT_EQ(runtime_->connect(c, name), 0);
  EXPECT_EQ(runtime_->connect(c, name), -EISCONN);
}

TEST_F(RuntimeTest, Leave_OtherProcessConnected_SeesTheEnd) {
  if (!kChildrenMayLeave)
    GTEST_SKIP() << "the thread sanitizer does not follow threads of forked children";
  const SocketId l = listener();
  const base::Endpoint name = name_of(l);
  const pid_t child = forked([&] {
    const SocketId c = connect(name);
    if (await(c, EPOLLOUT) == 0 || put(c, "bye") != 3) return 1;
    runtime_->leave();
    return 0;
  });
  const SocketId a = accept(l);
  EXPECT_EQ(get(a), "bye");
  EXPECT_EQ(get(a), "");
  EXPECT_EQ(code_of(child), 0);
}

TEST_F(RuntimeTest, Exec_NewImage_HasWhatWasKeptAndReleasesTheRest) {
  if (!kChildrenMayLeave)
    GTEST_SKIP() << "the thread sanitizer does not follow threads of forked children";
  const SocketId l = listener();
  const SocketId kept = connect(name_of(l));
  const SocketId its = accept(l);
  const SocketId closed = connect(name_of(l));
  const SocketId dropped = accept(l);
  const pid_t child = forked([&] {
    const SocketId over[] = {kept};
    std::vector<StackHandover> handed = runtime_->before_exec(over);
    if (handed.size() != 1) return 1;
    for (std::int32_t& fd : handed[0].fds) fd = fd < 0 ? -1 : ::dup(fd);
    const SocketId same{kept.index, kept.generation, 0};
    Options options;
    options.directory = directory_;
    options.daemon_path = RINGWAYD_PATH;
    const auto next = Runtime::take_over(options, handed, {&same, 1});
    const char text[] = "from the new image";
    const iovec v{const_cast<char*>(text), sizeof text - 1};
    if (next->send(same, &v, 1, MSG_NOSIGNAL, nullptr) != 18) return 2;
    WaitItem item{same, EPOLLIN, 0};
    if (next->wait({&item, 1}, {}, next->now() + kPatience, nullptr) != 1) return 3;
    next->leave();
    return 0;
  });
  runtime_->release(kept);
  runtime_->release(closed);
  EXPECT_EQ(get(dropped), "");
  EXPECT_EQ(get(its), "from the new image");
  EXPECT_EQ(put(its, "answer"), 6);
  EXPECT_EQ(code_of(child), 0);
  EXPECT_NE(get(its), "(nothing)");
}

TEST_F(RuntimeTest, Exec_Fails_EverythingGoesOn) {
  const SocketId l = listener();
  const SocketId c = connect(name_of(l));
  const SocketId a = accept(l);
  const SocketId over[] = {c};
  EXPECT_EQ(runtime_->before_exec(over).size(), 1U);
  runtime_->after_failed_exec();
  EXPECT_EQ(put(c, "on"), 2);
  EXPECT_EQ(get(a), "on");
}

TEST_F(RuntimeTest, PeersComeAndGo_WhileAThreadWaits_LinksAreReused) {
  const SocketId l = listener();
  const base::Endpoint name = name_of(l);
  for (int i = 0; i < 20; ++i) {
    const pid_t child = forked([&] {
      const SocketId c = connect(name);
      if (await(c, EPOLLOUT) == 0 || put(c, "x") != 1) return 1;
      return get(c) == "y" ? 0 : 2;
    });
    const SocketId a = accept(l);
    ASSERT_EQ(get(a), "x");
    ASSERT_EQ(put(a, "y"), 1);
    ASSERT_EQ(code_of(child), 0);
    ASSERT_NE(get(a), "(nothing)");  // reset or end: the peer is gone
    runtime_->release(a);
  }
}

}  // namespace
}  // namespace ringway::runtime
