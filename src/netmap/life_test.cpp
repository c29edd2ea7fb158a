#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <thread>

#include "netmap/binding.h"
#include "netmap/test_program.h"

// Processes that share ports, die with them, wait for them, and write nonsense into them.

namespace ringway::netmap::testing {
namespace {

/// Runs `work` in a child; its exit code is the result.
template <typename Work>
pid_t in_child(Work work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  return child;
}

int exit_code(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

TEST(Life, KilledHolder_FreesItsExclusivePort) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = in_child([&] {
    Program p("vale0:a", abi::kExclusive);
    [[maybe_unused]] const auto n = ::write(ready[1], "", 1);
    return p.error() == 0 ? ::pause() : 1;
  });
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_EQ(Program("vale0:a").error(), EBUSY);
  ::kill(child, SIGKILL);
  ASSERT_EQ(exit_code(child), 100 + SIGKILL);
  EXPECT_EQ(Program("vale0:a", abi::kExclusive).error(), 0);
}

TEST(Life, ForkedChild_KeepsTheBinding) {
  Program receiver("vale0:b");
  {
    Program p("vale0:a");
    const pid_t child = in_child([&] {
      p.put(-1, 1, "from the child");
      return p.sync_tx();
    });
    EXPECT_EQ(exit_code(child), 0);
    p.put(-1, 1, "from the parent");
    p.sync_tx();
  }
  EXPECT_EQ(receiver.get(), "from the child");
  EXPECT_EQ(receiver.get(), "from the parent");
}

TEST(Life, DescriptorThatWasPassed_IsBound) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  Program receiver("vale0:b");
  Program p("vale0:a");
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  char byte = 'x';
  iovec part{&byte, 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = p.fd();
  std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
  ASSERT_EQ(::sendmsg(pair[0], &message, 0), 1);
  ASSERT_EQ(::recvmsg(pair[1], &message, 0), 1);
  hooks::received(message);
  int passed = -1;
  std::memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof passed);
  p.put(-1, 1, "hi");
  p.close();  // the passed one still holds the port
  EXPECT_EQ(hooks::ioctl(passed, abi::kTxSync, nullptr), 0);
  EXPECT_EQ(receiver.get(), "hi");
  hooks::close_fd(passed);
  EXPECT_EQ(Program("vale0:a", abi::kExclusive).error(), 0);
}

TEST(Wait, SleeperIsWokenByAnotherProcess) {
  Program receiver("vale0:b");
  const pid_t child = in_child([] {
    Program p("vale0:a");
    p.put(-1, 1, "wake up");
    return p.sync_tx();
  });
  EXPECT_EQ(receiver.poll(POLLIN, 10'000), POLLIN);
  EXPECT_EQ(receiver.get(), "wake up");
  EXPECT_EQ(exit_code(child), 0);
}

TEST(Wait, OtherDescriptorsWakeItToo) {
  Program receiver("vale0:b");
  const int event = ::eventfd(0, 0);
  std::thread later([event] {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = ::write(event, &one, sizeof one);
  });
  pollfd items[] = {{receiver.fd(), POLLIN, 0}, {event, POLLIN, 0}};
  EXPECT_EQ(wait_mixed(items, 2, 10'000'000'000, nullptr, &wait_others), 1);
  EXPECT_EQ(items[0].revents, 0);
  EXPECT_EQ(items[1].revents, POLLIN);
  later.join();
  ::close(event);
}

TEST(Wait, PollForInput_FlushesOutputUnlessTold) {
  Program a("vale0:a"), quiet("vale0:q", abi::kNoTxPoll), b("vale0:b");
  a.put(-1, 1, "flushed");
  EXPECT_EQ(a.poll(POLLIN, 0), 0);
  EXPECT_EQ(b.get(), "flushed");
  quiet.put(-1, 3, "kept");
  quiet.poll(POLLIN, 0);
  EXPECT_EQ(b.get(), "-");
  EXPECT_EQ(quiet.poll(POLLOUT, 0), POLLOUT);
  EXPECT_EQ(b.get(), "kept");
}

int look_at(int epoll_fd, epoll_event* events, int most) {
  return ::epoll_wait(epoll_fd, events, most, 0);
}

TEST(Wait, EpollTellsLevelsAndEdges) {
  Program a("vale0:a"), b("vale0:b");
  const int epoll = ::epoll_create1(0);
  epoll_event wish{};
  wish.events = EPOLLIN;
  wish.data.u32 = 7;
  ASSERT_EQ(hooks::epoll_control(epoll, EPOLL_CTL_ADD, b.fd(), &wish), 0);
  EXPECT_EQ(hooks::epoll_control(epoll, EPOLL_CTL_ADD, b.fd(), &wish), -EEXIST);
  epoll_event out[2];
  const auto look = [&] {
    return hooks::epoll_wait(epoll, out, 2, 0, nullptr, &wait_others, &look_at);
  };
  EXPECT_EQ(look(), 0);
  a.put(-1, 1, "x");
  a.sync_tx();
  EXPECT_EQ(look(), 1);
  EXPECT_EQ(out[0].data.u32, 7U);
  EXPECT_EQ(look(), 1);
  wish.events = EPOLLIN | EPOLLET;
  ASSERT_EQ(hooks::epoll_control(epoll, EPOLL_CTL_MOD, b.fd(), &wish), 0);
  EXPECT_EQ(look(), 1);
  EXPECT_EQ(look(), 0);
  a.put(-1, 1, "y");
  a.sync_tx();
  EXPECT_EQ(look(), 1);
  EXPECT_EQ(hooks::epoll_control(epoll, EPOLL_CTL_DEL, b.fd(), nullptr), 0);
  ::close(epoll);
}

TEST(Hostile, PointersOutOfTheRing_AreResetAndTold) {
  Program a("vale0:a"), b("vale0:b");
  a.put(-1, 1, "good");
  a.sync_tx();
  a.tx().head = 5000;
  EXPECT_EQ(a.sync_tx(), 0);
  EXPECT_EQ(a.tx().head, 1U);
  a.tx().head = 3;
  a.tx().cur = 2;  // behind it
  EXPECT_EQ(a.poll(POLLOUT, 0) & POLLERR, POLLERR);
  a.tx().tail = 77;  // restored without a word
  a.put(-1, 1, "still good");
  EXPECT_EQ(a.poll(POLLOUT, 0), POLLOUT);
  EXPECT_EQ(a.tx().tail, 1U);
  EXPECT_EQ(b.get(), "good");
  EXPECT_EQ(b.get(), "still good");
  EXPECT_EQ(b.get(), "-");
}

TEST(Hostile, SlotsThatLeadOutside_HarmNobody) {
  Program a("vale0:a"), b("vale0:b");
  for (const std::uint32_t index : {0U, 1U, 20482U, 0xffffffffU}) {
    a.put(-1, 1, "x");
    a.tx().slots()[(a.tx().head + 1023) % 1024].buf_idx = index;
  }
  a.put(-1, 1, "x");
  a.tx().slots()[(a.tx().head + 1023) % 1024].len = 65535;
  b.rx().slots()[0].buf_idx = 0xffffffff;  // the receiver's slots may be as bad
  a.sync_tx();
  b.sync_rx();
  EXPECT_LE(b.available(), 5U);
}

TEST(Monitor, CopiesAreSeenWithoutTheOwnerReading) {
  Program a("vale0:a"), b("vale0:b");
  Program received("vale0:b", abi::kMonitorRx), sent("vale0:a", abi::kMonitorTx);
  ASSERT_EQ(received.error(), 0);
  a.put(-1, 1, "watched");
  a.sync_tx();
  EXPECT_EQ(received.get(), "watched");
  EXPECT_EQ(sent.get(), "watched");
  EXPECT_EQ(sent.last.flags & abi::kTxMon, abi::kTxMon);
  EXPECT_EQ(b.get(), "watched");
}

TEST(Monitor, ZeroCopySeesWhatTheOwnerReleased) {
  Program a("x{1"), b("x}1");
  Program monitor("x}1", abi::kZcopyMonitor);
  ASSERT_EQ(monitor.error(), 0);
  a.put(1, 2, "watched");
  a.sync_tx();
  const std::uint32_t buffer = a.tx().slots()[0].buf_idx;
  EXPECT_EQ(b.get(), "watched");
  EXPECT_EQ(monitor.get(), "-");
  b.sync_rx();
  EXPECT_EQ(monitor.get(), "watched");
  EXPECT_EQ(monitor.last.buf_idx, buffer);
  a.sync_tx();
  EXPECT_NE(a.tx().slots()[0].buf_idx, buffer);
  EXPECT_EQ(a.tx().slots()[0].flags & abi::kBufChanged, abi::kBufChanged);
}

TEST(Monitor, OwnerThatLeaves_IsToldByPoll) {
  auto owner = std::make_unique<Program>("vale0:a");
  Program monitor("vale0:a", abi::kMonitorRx);
  EXPECT_EQ(Program("vale0:none", abi::kMonitorRx).error(), EINVAL);
  EXPECT_EQ(monitor.poll(POLLIN, 0), 0);
  owner.reset();
  EXPECT_EQ(monitor.poll(POLLIN, 1000), POLLERR);
}

TEST(Extmem, PortLivesInTheProgramsMemory) {
  constexpr std::size_t kBytes = 16 << 20;
  void* memory =
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  abi::OptExtmem option{};
  option.nro_opt.nro_reqtype = abi::kOptExtmem;
  option.nro_usrptr = reinterpret_cast<std::uint64_t>(memory);
  option.nro_info.nr_memsize = kBytes;
  option.nro_info.nr_ring_pool_objsize = 1 << 20;
  Program p, other("vale0:b");
  p.request.nr_mode = abi::kModeAllNic;
  EXPECT_EQ(p.bind("vale0:a", &option.nro_opt), ENOMEM);
  option.nro_info.nr_ring_pool_objsize = 0;
  ASSERT_EQ(p.bind("vale0:a", &option.nro_opt), 0);
  EXPECT_EQ(option.nro_opt.nro_status, 0U);
  const auto* nifp = reinterpret_cast<abi::If*>(static_cast<char*>(memory) + p.request.nr_offset);
  EXPECT_STREQ(nifp->ni_name, "vale0:a");
  other.put(-1, 1, "into my memory");
  other.sync_tx();
  EXPECT_EQ(p.get(), "into my memory");
  p.close();
  ::munmap(memory, kBytes);
}

}  // namespace
}  // namespace ringway::netmap::testing
