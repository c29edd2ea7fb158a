#include "runtime/attendance.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/sys.h"
#include "runtime/clock.h"

// One stack without links, as two threads, a keeper and a forked relative sleep in it.
namespace ringway::runtime {
namespace {

class AttendanceTest : public testing::Test {
 protected:
  AttendanceTest() {
    stack::StackConfig config;
    config.id = {1, 1};
    config.program = "attendance_test";
    local_.stack = std::move(*stack::Stack::create(config));
    local_.mailbox_fd = base::UniqueFd(*driver::MailboxMemory::create());
    local_.mailbox = std::move(*driver::MailboxMemory::map(local_.mailbox_fd.get()));
    local_.doorbell = base::UniqueFd(base::sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    local_.own = true;
    local_.stack->set_mailbox(local_.mailbox.get());
    local_.sockets = std::make_unique<socket::Sockets>(*local_.stack);
  }

  bool asleep() const { return local_.mailbox.get()->sleeping.load() != 0; }
  /// As a sender does that has something for a sleeper.
  void ring() {
    ASSERT_EQ(local_.mailbox.get()->sleeping.exchange(0), 1U);
    const std::uint64_t one = 1;
    ASSERT_EQ(base::sys::write(local_.doorbell.get(), &one, sizeof one), 8);
  }
  bool bell_is_heard() const {
    pollfd p{local_.doorbell.get(), POLLIN, 0};
    return base::sys::poll(&p, 1, 0) == 1;
  }
  /// A forked process begins to attend and ends without a word.
  pid_t attendant_that_dies() {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(Attendance::of_keeper().begin(local_) ? 0 : 1);
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    return child;
  }

  LocalStack local_;
  const Attendance first_ = Attendance::of_waiter(0);
  const Attendance second_ = Attendance::of_waiter(1);
  const Attendance keeper_ = Attendance::of_keeper();
};

TEST_F(AttendanceTest, Awake_AnybodyIsWanted) {
  EXPECT_TRUE(first_.wanted(local_));
  EXPECT_TRUE(keeper_.wanted(local_));
}

TEST_F(AttendanceTest, ThreadAttends_NobodyElseIsWanted) {
  ASSERT_TRUE(first_.begin(local_));
  EXPECT_TRUE(asleep());
  EXPECT_FALSE(second_.wanted(local_));
  EXPECT_FALSE(keeper_.wanted(local_));
}

TEST_F(AttendanceTest, KeeperAttends_ThreadRelievesIt) {
  ASSERT_TRUE(keeper_.begin(local_));
  ASSERT_TRUE(first_.wanted(local_));
  ASSERT_TRUE(first_.begin(local_));
  EXPECT_FALSE(keeper_.end(local_, false));
  EXPECT_TRUE(asleep());
}

TEST_F(AttendanceTest, RungThenRelieved_NewOneStaysAsleepAndHearsTheBell) {
  ASSERT_TRUE(first_.begin(local_));
  ring();
  ASSERT_TRUE(second_.wanted(local_));
  ASSERT_TRUE(second_.begin(local_));
  EXPECT_FALSE(first_.end(local_, true));
  EXPECT_TRUE(asleep());
  EXPECT_TRUE(bell_is_heard());
  EXPECT_TRUE(second_.end(local_, true));
  EXPECT_FALSE(asleep());
  EXPECT_FALSE(bell_is_heard());
}

TEST_F(AttendanceTest, MailboxIsMarked_BeginRefuses) {
  local_.mailbox.get()->mark(3);
  EXPECT_FALSE(first_.begin(local_));
  EXPECT_FALSE(asleep());
}

TEST_F(AttendanceTest, RelativeAttends_ItsMakerRelievesIt_OtherRelativesDoNot) {
  attendant_that_dies();
  EXPECT_TRUE(first_.wanted(local_));
  local_.own = false;
  EXPECT_FALSE(keeper_.wanted(local_));
}

TEST_F(AttendanceTest, AttendantDied_IsForgotten) {
  const auto gone = static_cast<std::uint32_t>(attendant_that_dies());
  ASSERT_TRUE(asleep());
  EXPECT_FALSE(Attendance::forget(local_, gone + 1));
  EXPECT_TRUE(asleep());
  EXPECT_TRUE(Attendance::forget(local_, gone));
  EXPECT_FALSE(asleep());
  EXPECT_TRUE(keeper_.wanted(local_));
}

/// A forked process that ends within the stack's lock.
template <typename F>
void die_inside(F&& act) {
  const pid_t child = ::fork();
  if (child == 0) {
    mem::StackLock::forget_thread();
    act();
    ::_exit(0);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(AttendanceTest, HolderDiesWhileItLooks_NothingIsPoisoned) {
  die_inside([&] { new Look(local_); });
  { const Entry entry(local_); }
  EXPECT_EQ(local_.state().header.poisoned, 0U);
}

TEST_F(AttendanceTest, HolderDiesWhileItChangesThings_TheStackIsPoisoned) {
  die_inside([&] { new Entry(local_); });
  { const Look look(local_); }
  EXPECT_EQ(local_.state().header.poisoned, 1U);
}

TEST_F(AttendanceTest, Poisoned_ListeningSocketMayStillBeClosed) {
  std::uint32_t listener = 0;
  {
    Entry entry(local_);
    listener = entry.sockets().create(AF_INET, SOCK_STREAM, 1);
    ASSERT_EQ(entry.sockets().bind(listener, {base::IpAddress::loopback_v4(), 80}), 0);
    ASSERT_EQ(entry.sockets().listen(listener, 4), 0);
  }
  die_inside([&] { new Entry(local_); });
  Entry entry(local_);
  base::Endpoint peer;
  EXPECT_EQ(entry.sockets().accept(listener, 1, &peer), -EINVAL);
  EXPECT_TRUE(entry.sockets().release(listener, 1, entry.now()));
}

}  // namespace
}  // namespace ringway::runtime
