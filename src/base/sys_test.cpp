#include "base/sys.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include "base/unique_fd.h"

namespace ringway::base {
namespace {

TEST(Sys, FailedCall_AnswersMinusOneAndErrno) {
  errno = 0;
  EXPECT_EQ(sys::close(-1), -1);
  EXPECT_EQ(errno, EBADF);
  errno = 0;
  EXPECT_EQ(sys::socket(12345, SOCK_STREAM, 0), -1);
  EXPECT_EQ(errno, EAFNOSUPPORT);
}

TEST(Sys, PipeWriteAndPoll_DataArrives) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(sys::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  char c = 0;
  EXPECT_EQ(sys::read(reader.get(), &c, 1), -1);
  EXPECT_EQ(errno, EAGAIN);
  ASSERT_EQ(sys::write(writer.get(), "x", 1), 1);
  pollfd p{reader.get(), POLLIN, 0};
  timespec none{0, 0};
  EXPECT_EQ(sys::ppoll(&p, 1, &none), 1);
  EXPECT_EQ(sys::read(reader.get(), &c, 1), 1);
  EXPECT_EQ(c, 'x');
  writer.reset();
  EXPECT_EQ(sys::poll(&p, 1, 0), 1);
  EXPECT_NE(p.revents & POLLHUP, 0);
}

TEST(Sys, FutexWait_ValueHasChanged_ReturnsAtOnce) {
  const std::uint32_t word = 7;
  EXPECT_EQ(sys::futex_wait(&word, 6, nullptr), -1);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(sys::futex_wake(&word, 1), 0);
}

TEST(UniqueFd, Moved_ClosesOnceAndKeepsErrno) {
  UniqueFd first(sys::eventfd(0, EFD_CLOEXEC));
  const int number = first.get();
  UniqueFd second(std::move(first));
  EXPECT_FALSE(first);
  EXPECT_EQ(second.get(), number);
  errno = ENOTTY;
  second.reset();
  EXPECT_EQ(errno, ENOTTY);
  EXPECT_EQ(sys::fcntl(number, F_GETFD), -1);
}

}  // namespace
}  // namespace ringway::base
