#include "stack/stack.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "base/random.h"
#include "stack/capture_layout.h"
#include "stack/test_pair.h"
#include "wire/tcp.h"

namespace ringway::stack {
namespace {

constexpr base::IpAddress kLocal = base::IpAddress::v4(127, 0, 0, 1);

class StackTest : public testing::Test {
 protected:
  /// A connection from a to b, established; {a's, b's}.
  std::pair<std::uint32_t, std::uint32_t> connect(std::uint16_t port = 80) {
    const auto listener = pair_.b.stack->tcp().listen({kLocal, port}, 16, 0, {});
    EXPECT_NE(listener.index, 0U);
    const std::uint32_t path = pair_.a.stack->path_for(pair_.a.link, kLocal, kLocal);
    const auto opened =
        pair_.a.stack->tcp().connect({kLocal, 50'000}, {kLocal, port}, path, 0, {}, pair_.now);
    EXPECT_NE(opened.index, 0U);
    pair_.run();
    const std::uint32_t accepted = pair_.b.stack->tcp().accept(listener.index);
    EXPECT_NE(accepted, 0U);
    return {opened.index, accepted};
  }
  std::uint32_t send(Stack& stack, std::uint32_t connection, std::span<const std::byte> data) {
    const iovec piece{const_cast<std::byte*>(data.data()), data.size()};
    const auto io = stack.tcp().send(connection, {&piece, 1}, false, pair_.now);
    stack.flush();
    return io.bytes;
  }
  std::vector<std::byte> receive(Stack& stack, std::uint32_t connection, std::size_t most) {
    std::vector<std::byte> data(most);
    const iovec piece{data.data(), data.size()};
    data.resize(stack.tcp().recv(connection, {&piece, 1}, false, pair_.now).bytes);
    stack.flush();
    return data;
  }
  static std::vector<std::byte> pattern(std::size_t n) {
    std::vector<std::byte> v(n);
    for (std::size_t i = 0; i < n; ++i) v[i] = static_cast<std::byte>(i * 31 % 253);
    return v;
  }

  StackPair pair_;
};

TEST_F(StackTest, Bytes_CrossTheLinkBothWays) {
  const auto [from, to] = connect();
  const auto data = pattern(200'000);
  std::vector<std::byte> got;
  std::size_t sent = 0;
  while (got.size() < data.size()) {
    sent += send(*pair_.a.stack, from, std::span(data).subspan(sent));
    pair_.run();
    const auto piece = receive(*pair_.b.stack, to, 70'000);
    got.insert(got.end(), piece.begin(), piece.end());
  }
  EXPECT_EQ(got, data);
  EXPECT_EQ(send(*pair_.b.stack, to, std::span(data).first(64)), 64U);
  pair_.run();
  EXPECT_EQ(receive(*pair_.a.stack, from, 100).size(), 64U);
}

TEST_F(StackTest, ConnectionsInTurn_EachGetsItsOwnBytesAndSoDoesOneInAnOldPlace) {
  const auto first = connect(80);
  const auto second = connect(81);
  const auto exchange = [&](const auto& connection, char mark) {
    const std::array<std::byte, 3> data{std::byte(mark), std::byte(mark), std::byte(mark)};
    EXPECT_EQ(send(*pair_.a.stack, connection.first, data), 3U);
    pair_.run();
    const auto got = receive(*pair_.b.stack, connection.second, 10);
    EXPECT_TRUE(std::equal(got.begin(), got.end(), data.begin(), data.end())) << mark;
  };
  for (int i = 0; i < 3; ++i) {
    exchange(first, '1');
    exchange(second, '2');
    exchange(second, '3');
  }
  // The one that was heard of last goes, and its place is taken by one of other ports.
  pair_.b.stack->tcp().abort(second.second, pair_.now);
  pair_.a.stack->tcp().abort(second.first, pair_.now);
  pair_.run();
  exchange(first, '4');
  const auto third = connect(82);
  EXPECT_EQ(third.second, second.second);
  exchange(third, '5');
  exchange(first, '6');
}

TEST_F(StackTest, TurnsThatAlwaysReceive_RunTimersAllTheSame) {
  const auto [from, to] = connect();
  const auto data = pattern(10);
  const iovec piece{const_cast<std::byte*>(data.data()), data.size()};
  pair_.a.stack->tcp().send(from, {&piece, 1}, true, pair_.now);  // MSG_MORE: waits for a timer
  pair_.run();
  ASSERT_TRUE(receive(*pair_.b.stack, to, 100).empty());
  const base::Instant due = pair_.now + base::Duration::milliseconds(202);
  for (; pair_.now < due; pair_.now = pair_.now + base::Duration::microseconds(50)) {
    ASSERT_EQ(send(*pair_.b.stack, to, data), data.size());
    ASSERT_TRUE(pair_.a.stack->has_input());
    ASSERT_TRUE(pair_.a.stack->has_input_inside());
    pair_.a.stack->turn(pair_.now);
    receive(*pair_.a.stack, from, 100);
  }
  EXPECT_FALSE(pair_.a.stack->has_input_inside());
  pair_.b.stack->turn(pair_.now);
  EXPECT_EQ(receive(*pair_.b.stack, to, 100), data);
}

mem::CaptureArea& capture_of(Stack& stack) {
  return *reinterpret_cast<mem::CaptureArea*>(reinterpret_cast<std::byte*>(&stack.state()) +
                                              kCaptureOffset);
}

/// Every frame of the ring, whole; how many were lost on the way.
std::uint64_t read_all(mem::CaptureReader& reader, mem::CaptureWay way,
                       std::vector<std::vector<std::byte>>& frames) {
  mem::CaptureRecord record{};
  std::vector<std::byte> bytes(65535);
  while (reader.next(record, bytes)) {
    EXPECT_EQ(record.kept, record.length);
    if (record.way == way) frames.emplace_back(bytes.begin(), bytes.begin() + record.kept);
  }
  return reader.lost();
}

TEST_F(StackTest, CaptureOn_WhatOneSendsIsWhatTheOtherReceives) {
  const auto [from, to] = connect();
  Stack& a = *pair_.a.stack;
  Stack& b = *pair_.b.stack;
  for (Stack* stack : {&a, &b}) {
    capture_of(*stack).control.snap_bytes = 65535;
    capture_of(*stack).control.until_ns = INT64_MAX;
  }
  mem::CaptureReader of_a(capture_of(a).ring);
  mem::CaptureReader of_b(capture_of(b).ring);
  pair_.run();
  std::vector<std::vector<std::byte>> sent;
  std::vector<std::vector<std::byte>> received;
  std::uint64_t lost = 0;
  for (const std::size_t size : {1U, 64U, 250U, 1500U, 30'000U, 200'000U}) {
    send(a, from, pattern(size));
    pair_.run();
    receive(b, to, size);
    pair_.run();
    lost = read_all(of_a, mem::CaptureWay::kOut, sent);
    read_all(of_b, mem::CaptureWay::kIn, received);
  }
  EXPECT_EQ(lost, 0U);
  EXPECT_GE(sent.size(), 10U);
  EXPECT_EQ(sent, received);
}

TEST_F(StackTest, CaptureThatNobodyRenews_Lapses) {
  const auto [from, to] = connect();
  Stack& a = *pair_.a.stack;
  capture_of(a).control.snap_bytes = 100;
  capture_of(a).control.until_ns = pair_.now.ns + 1'000'000;
  mem::CaptureReader reader(capture_of(a).ring);
  pair_.run();
  send(a, from, pattern(10));
  pair_.run();
  std::vector<std::vector<std::byte>> frames;
  read_all(reader, mem::CaptureWay::kOut, frames);
  EXPECT_EQ(frames.size(), 1U);
  pair_.now = pair_.now + base::Duration::milliseconds(2);
  pair_.run();
  send(a, from, pattern(10));
  pair_.run();
  read_all(reader, mem::CaptureWay::kOut, frames);
  EXPECT_EQ(frames.size(), 1U);
}

TEST_F(StackTest, ClosedOnBothSides_LeavesNoConnectionCellOrFrame) {
  const auto [from, to] = connect();
  send(*pair_.a.stack, from, pattern(100'000));
  pair_.run();
  receive(*pair_.b.stack, to, 200'000);
  pair_.a.stack->tcp().close(from, pair_.now);
  pair_.run();
  pair_.b.stack->tcp().close(to, pair_.now);
  pair_.run();
  for (Stack* stack : {pair_.a.stack.get(), pair_.b.stack.get()}) {
    EXPECT_EQ(stack->state().tcp.connections.in_use(), 0U);
    EXPECT_EQ(stack->state().cells.in_use(), 0U);
    EXPECT_EQ(stack->state().frame_pool.in_use, 1U);  // the one that is never given out
    EXPECT_EQ(stack->state().links[0].receiver.kept, 0U);
  }
}

TEST_F(StackTest, NoListener_ResetArrivesAtOnce) {
  const std::uint32_t path = pair_.a.stack->path_for(pair_.a.link, kLocal, kLocal);
  const auto opened =
      pair_.a.stack->tcp().connect({kLocal, 50'000}, {kLocal, 81}, path, 0, {}, pair_.now);
  pair_.run();
  EXPECT_EQ(pair_.a.stack->tcp().state(opened.index), tcp::State::kClosed);
  EXPECT_EQ(pair_.a.stack->tcp().error(opened.index), ECONNREFUSED);
}

TEST_F(StackTest, LinkGoesDown_DataThatArrivedIsReadThenReset) {
  const auto [from, to] = connect();
  send(*pair_.a.stack, from, pattern(1000));
  pair_.b.stack->take_link_down(pair_.b.link, pair_.now);
  EXPECT_EQ(pair_.b.stack->tcp().state(to), tcp::State::kClosed);
  EXPECT_EQ(receive(*pair_.b.stack, to, 2000).size(), 1000U);
  EXPECT_EQ(pair_.b.stack->tcp().error(to), ECONNRESET);
  EXPECT_EQ(pair_.b.stack->link_to({1, 1}), Stack::kNoLink);
}

TEST_F(StackTest, LinksComeAndGo_TheirPathsAreFreed) {
  for (int i = 0; i < 50; ++i) {
    ASSERT_NE(pair_.a.stack->path_for(pair_.a.link, kLocal, kLocal), 0U);
    pair_.a.stack->take_link_down(pair_.a.link, pair_.now);
    const base::UniqueFd memory(*driver::LinkMemory::create());
    StackPair::join(pair_.a, pair_.b, memory.get(), true);
  }
  EXPECT_EQ(pair_.a.stack->state().paths.slab.in_use(), 0U);
}

TEST_F(StackTest, LinkGoesDownAfterTheirFin_ReadsToTheEndWithoutError) {
  const auto [from, to] = connect();
  send(*pair_.a.stack, from, pattern(1000));
  pair_.a.stack->tcp().close(from, pair_.now);
  pair_.a.stack->turn(pair_.now);
  pair_.b.stack->take_link_down(pair_.b.link, pair_.now);
  EXPECT_EQ(receive(*pair_.b.stack, to, 2000).size(), 1000U);
  EXPECT_EQ(pair_.b.stack->tcp().error(to), 0);
}

TEST_F(StackTest, FullRing_SenderStopsAndGoesOnWhenThereIsRoom) {
  const auto [from, to] = connect();
  const auto data = pattern(64);
  std::uint32_t sent = 0;
  while (send(*pair_.a.stack, from, data) == 64) sent += 64;
  EXPECT_GE(sent, ring::kSlots * 60);
  EXPECT_EQ(pair_.a.stack->tcp().readiness(from) & EPOLLOUT, 0U);
  std::size_t got = 0;
  for (int i = 0; i < 100 && got < sent; ++i) {
    pair_.run();
    got += receive(*pair_.b.stack, to, 1'000'000).size();
  }
  EXPECT_EQ(got, sent);
  EXPECT_NE(pair_.a.stack->tcp().readiness(from) & EPOLLOUT, 0U);
}

TEST_F(StackTest, FinThatFoundNoRoom_LeavesWhenThereIsSome) {
  const auto [from, to] = connect();
  const auto data = pattern(64);
  std::uint32_t sent = 0;
  while (send(*pair_.a.stack, from, data) == 64) sent += 64;
  pair_.a.stack->tcp().close(from, pair_.now);
  pair_.a.stack->turn(pair_.now);
  std::size_t got = 0;
  for (int i = 0; i < 100; ++i) {
    pair_.run();
    got += receive(*pair_.b.stack, to, 1'000'000).size();
  }
  EXPECT_EQ(got, sent);
  EXPECT_EQ(pair_.b.stack->tcp().state(to), tcp::State::kCloseWait);
}

TEST_F(StackTest, LinkSlotThatAnotherHolderReused_IsMappedAnew) {
  Stack& mine = *pair_.a.stack;
  const auto other = std::move(*Stack::open(mine.arena().fd()));
  const auto parts = [this](int memory) {
    return LinkParts{std::move(*driver::LinkMemory::map(memory)),
                     std::move(*driver::MailboxMemory::map(pair_.b.mailbox_fd.get())),
                     base::UniqueFd(base::sys::eventfd(0, 0))};
  };
  const base::UniqueFd first(*driver::LinkMemory::create());
  other->map_link(pair_.a.link, parts(first.get()));
  ASSERT_TRUE(other->mapped(pair_.a.link));

  mine.take_link_down(pair_.a.link, pair_.now);
  const base::UniqueFd second(*driver::LinkMemory::create());
  const auto link =
      mine.add_link({.parts = parts(second.get()), .peer = {3, 1}, .number = 2, .made_here = true});
  ASSERT_TRUE(link);
  ASSERT_EQ(*link, pair_.a.link);

  other->follow_links();
  EXPECT_FALSE(other->mapped(*link));
  EXPECT_TRUE(other->has_unmapped_links());
  std::vector<std::uint16_t> missing;
  other->collect_unmapped(missing);
  EXPECT_EQ(missing, std::vector<std::uint16_t>{*link});
}

TEST_F(StackTest, LinkTakenDown_WhileAThreadLooksWithoutTheLock_StaysMapped) {
  connect();
  std::atomic<bool> stop{false};
  std::atomic<bool> looks{false};
  std::thread looker([&, end = &pair_.a] {
    while (!stop.load(std::memory_order_relaxed)) {
      static_cast<void>(end->stack->has_input());
      looks.store(true, std::memory_order_relaxed);
    }
  });
  while (!looks.load(std::memory_order_relaxed)) std::this_thread::yield();
  for (int i = 0; i < 200; ++i) {
    pair_.a.stack->take_link_down(pair_.a.link, pair_.now);
    const base::UniqueFd memory(*driver::LinkMemory::create());
    StackPair::join(pair_.a, pair_.b, memory.get(), true);
    pair_.a.stack->turn(pair_.now);
  }
  stop = true;
  looker.join();
  EXPECT_TRUE(pair_.a.stack->mapped(pair_.a.link));
}

TEST_F(StackTest, Sleeping_SenderMarksAndRings) {
  connect();
  ASSERT_TRUE(pair_.b.stack->prepare_sleep(*pair_.b.mailbox.get()));
  pair_.a.stack->bells().clear();
  const auto from = pair_.a.stack->tcp().find({kLocal, 50'000}, {kLocal, 80});
  send(*pair_.a.stack, from, pattern(10));
  EXPECT_EQ(pair_.a.stack->bells().size(), 1U);
  EXPECT_TRUE(pair_.b.stack->has_input());
  // Rung once: until it sleeps again nobody rings a second time.
  send(*pair_.a.stack, from, pattern(10));
  EXPECT_EQ(pair_.a.stack->bells().size(), 1U);
}

TEST_F(StackTest, Asleep_TurnOfAnotherThread_LeavesTheLinkToItsBell) {
  connect();
  ring::Mailbox& mailbox = *pair_.b.mailbox.get();
  ASSERT_TRUE(pair_.b.stack->prepare_sleep(mailbox));
  const auto from = pair_.a.stack->tcp().find({kLocal, 50'000}, {kLocal, 80});
  send(*pair_.a.stack, from, pattern(10));
  // A sender between its mark and its look at who sleeps.
  mailbox.sleeping.store(1);
  EXPECT_TRUE(pair_.b.stack->turn(pair_.now));
  EXPECT_EQ(pair_.shared.direction(0).hot.load(), 0U);
  // Awake again, it is worth polling.
  pair_.b.stack->wake(mailbox);
  send(*pair_.a.stack, from, pattern(10));
  EXPECT_TRUE(pair_.b.stack->turn(pair_.now));
  EXPECT_EQ(pair_.shared.direction(0).hot.load(), 1U);
}

TEST_F(StackTest, InputBeforeSleep_IsNoticed) {
  connect();
  const auto from = pair_.a.stack->tcp().find({kLocal, 50'000}, {kLocal, 80});
  send(*pair_.a.stack, from, pattern(10));
  EXPECT_FALSE(pair_.b.stack->prepare_sleep(*pair_.b.mailbox.get()));
  EXPECT_EQ(pair_.b.mailbox.get()->sleeping.load(), 0U);
}

/// From now on this process has no membarrier(2), as in a sandbox.
bool give_up_membarrier() {
  std::array<sock_filter, 4> program{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST_F(StackTest, NoMembarrier_SleepsOnMarksAlone) {
  connect();
  pair_.run();
  ASSERT_NE(pair_.shared.direction(0).hot.load(), 0U);
  const auto from = pair_.a.stack->tcp().find({kLocal, 50'000}, {kLocal, 80});
  const auto sleeps_on_marks = [&] {
    ring::Mailbox& mailbox = *pair_.b.mailbox.get();
    if (!give_up_membarrier()) return 1;
    // The first time what was hot is looked at once more.
    if (pair_.b.stack->prepare_sleep(mailbox)) return 2;
    pair_.b.stack->turn(pair_.now);
    if (!pair_.b.stack->prepare_sleep(mailbox)) return 3;
    send(*pair_.a.stack, from, pattern(10));
    if (mailbox.sleeping.load() != 0) return 4;
    pair_.b.stack->turn(pair_.now);
    return pair_.shared.direction(0).hot.load() == 0 ? 0 : 5;
  };
  const pid_t child = fork();
  if (child == 0) _exit(sleeps_on_marks());
  int status = -1;
  waitpid(child, &status, 0);
  if (WEXITSTATUS(status) == 1) GTEST_SKIP() << "no seccomp filter may be installed here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(StackTest, FlowOfAnotherLink_CannotBeReached) {
  const auto [from, to] = connect();
  // A third stack says that it is the other end of b's connection with a.
  StackPair::End c = StackPair::make(3);
  const base::UniqueFd memory(*driver::LinkMemory::create());
  StackPair::join(c, pair_.b, memory.get(), true);
  StackPair::join(pair_.b, c, memory.get(), false);
  port::Path& way = c.stack->path(c.stack->path_for(c.link, kLocal, kLocal));
  const driver::LinkMemory third = std::move(*driver::LinkMemory::map(memory.get()));
  ring::SenderState state{};
  ring::SlotSender sender(&state, &third.direction(0), third.region(0));
  const auto room = sender.reserve(60);
  std::byte* segment = way.write_header(room.data, 6, 20);
  wire::TcpHeader header;
  header.src_port = 50'000;
  header.dst_port = 80;
  header.seq = pair_.b.stack->tcp().conn(to).rcv.nxt;
  header.flags = {wire::TcpFlags::kRst | wire::TcpFlags::kAck};
  header.emit(segment);
  sender.commit(room, 54, {});
  pair_.run();
  EXPECT_EQ(pair_.b.stack->tcp().state(to), tcp::State::kEstablished);
  EXPECT_EQ(pair_.b.stack->state().counters.get(Count::kDropForeignFlow), 1U);
  static_cast<void>(from);
}

TEST_F(StackTest, GarbageFromThePeer_IsCountedAndHurtsOnlyTheLink) {
  const auto [from, to] = connect();
  base::Random random = base::Random::seeded(11);
  ring::SenderState state{};
  state.next = pair_.a.stack->state().links[0].sender.next;
  state.consumed = state.next;
  ring::SlotSender sender(&state, &pair_.shared.direction(0), pair_.shared.region(0));
  for (int i = 0; i < 5'000; ++i) {
    const auto length = 1 + random.below(random.below(4) == 0 ? 2'000 : 120);
    const auto room = sender.reserve(length);
    if (room.data == nullptr) {
      pair_.b.stack->turn(pair_.now);
      continue;
    }
    for (std::uint32_t k = 0; k < length; ++k) room.data[k] = static_cast<std::byte>(random.next());
    if (random.below(2) == 0 && length > 54) {  // good enough to get as far as TCP
      port::Path& way = pair_.a.stack->path(pair_.a.stack->path_for(pair_.a.link, kLocal, kLocal));
      std::byte* segment = way.write_header(room.data, 6, length - 34);
      base::store_be16(segment, 50'000);
      base::store_be16(segment + 2, static_cast<std::uint16_t>(79 + random.below(3)));
    }
    sender.commit(room, length, {});
    pair_.b.stack->turn(pair_.now);
  }
  EXPECT_GT(pair_.b.stack->state().counters.get(Count::kDropParse), 100U);
  static_cast<void>(from);
  static_cast<void>(to);
}

TEST_F(StackTest, Arena_RefusesAnotherLayout) {
  const int fd = fcntl(pair_.a.stack->arena().fd(), F_DUPFD_CLOEXEC, 0);
  const auto wrong = mem::Arena::map(fd, layout_hash() + 1, true);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, base::ErrorCode::kCorrupt);
}

TEST_F(StackTest, SecondViewOfTheArena_SeesTheSameConnections) {
  const auto [from, to] = connect();
  auto other = Stack::open(fcntl(pair_.b.stack->arena().fd(), F_DUPFD_CLOEXEC, 0));
  ASSERT_TRUE(other);
  EXPECT_TRUE((*other)->has_unmapped_links());
  EXPECT_EQ((*other)->tcp().state(to), tcp::State::kEstablished);
  static_cast<void>(from);
}

}  // namespace
}  // namespace ringway::stack
