#include "reaper/reaper.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "stack/test_pair.h"

namespace ringway::reaper {
namespace {

using base::Duration;
using stack::StackPair;

/// A stack that is going to lose its holder, and its peer behind a lossy link, in virtual time that
/// begins later than any machine has been up (the reaper never goes back in an arena's time).
class ReaperTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kHolder = 1;
  const base::IpAddress address_ = base::IpAddress::v4(10, 0, 0, 1);

  ReaperTest() {
    join(a_, b_, true);
    join(b_, a_, false);
    socket::Sockets a(*a_.stack);
    const std::uint32_t listener = b_sockets_.create(AF_INET, SOCK_STREAM, kHolder);
    EXPECT_EQ(b_sockets_.bind(listener, {address_, 80}), 0);
    EXPECT_EQ(b_sockets_.listen(listener, 1), 0);
    const std::uint32_t socket = a.create(AF_INET, SOCK_STREAM, kHolder);
    EXPECT_EQ(a.connect(socket, {address_, 40'000}, {address_, 80},
                        a_.stack->path_for(a_.link, address_, address_), now_),
              -EINPROGRESS);
    for (int i = 0; i < 10; ++i) {
      a_.stack->turn(now_);
      turn_peer();
    }
    accepted_ = b_sockets_.accept(listener, kHolder, nullptr);
    EXPECT_GT(accepted_, 0);
  }

  void join(StackPair::End& end, StackPair::End& peer, bool made_here) {
    auto added = end.stack->add_link(
        {.parts = {std::move(*driver::LinkMemory::map(memory_.get())),
                   std::move(*driver::MailboxMemory::map(peer.mailbox_fd.get())), bell()},
         .peer = peer.stack->state().id,
         .number = 1,
         .made_here = made_here,
         .gateway = true});
    ASSERT_TRUE(added);
    end.link = *added;
  }
  static base::UniqueFd bell() { return base::UniqueFd(base::sys::eventfd(0, 0)); }

  /// The holder of `a` is gone.
  void start_reaper() {
    std::array<int, 2> life{};
    ASSERT_EQ(::pipe2(life.data(), O_CLOEXEC), 0);
    life_ = base::UniqueFd(life[1]);
    Arguments arguments{
        ::dup(a_.stack->arena().fd()), a_.mailbox_fd.duplicate().release(), bell().release(), {}};
    arguments.links.push_back({1, 0, memory_.duplicate().release(),
                               b_.mailbox_fd.duplicate().release(), bell().release(), life[0]});
    a_.stack.reset();
    auto reaper = Reaper::open(arguments);
    ASSERT_TRUE(reaper) << reaper.error().what;
    reaper_ = std::move(*reaper);
  }
  void turn_peer() {
    now_ = now_ + Duration::microseconds(10);
    b_.stack->turn(now_);
    b_sockets_.drain_events();
    b_.stack->flush();
  }
  /// Both sides, for long enough to exchange what is due; what the reaper says at last.
  bool run() {
    bool goes_on = true;
    for (int i = 0; i < 10; ++i) {
      goes_on = reaper_->turn(now_);
      turn_peer();
    }
    return goes_on;
  }
  ssize_t read_peer() {
    std::byte byte{};
    const iovec to{&byte, 1};
    return b_sockets_.receive(static_cast<std::uint32_t>(accepted_), {&to, 1}, 0, now_);
  }
  void close_peer() {
    b_sockets_.release(static_cast<std::uint32_t>(accepted_), kHolder, now_);
    b_.stack->flush();
  }

  base::Instant now_{100'000'000'000'000'000};
  base::UniqueFd memory_{*driver::LinkMemory::create()};
  base::UniqueFd life_;
  StackPair::End a_ = StackPair::make(1);
  StackPair::End b_ = StackPair::make(2);
  socket::Sockets b_sockets_{*b_.stack};
  int accepted_ = 0;
  std::unique_ptr<Reaper> reaper_;
};

TEST_F(ReaperTest, TimeWait_IsHeldToItsEnd) {
  start_reaper();
  EXPECT_TRUE(run());
  EXPECT_EQ(read_peer(), 0) << "the end comes in order";
  close_peer();
  EXPECT_TRUE(run()) << "TIME-WAIT";
  EXPECT_EQ(b_.stack->state().tcp.time_wait, 0U);
  now_ = now_ + Duration::seconds(59);
  EXPECT_TRUE(run());
  now_ = now_ + Duration::seconds(2);
  EXPECT_FALSE(run());
}

TEST_F(ReaperTest, PeerThatDoesNotClose_IsWaitedFor) {
  start_reaper();
  EXPECT_TRUE(run());
  now_ = now_ + Duration::seconds(30);
  EXPECT_TRUE(run());
  now_ = now_ + Duration::seconds(31);
  EXPECT_FALSE(run());
}

TEST_F(ReaperTest, PeerResets_NothingIsLeftToWaitFor) {
  start_reaper();
  EXPECT_TRUE(run());
  const linger at_once{1, 0};
  b_sockets_.set_option(static_cast<std::uint32_t>(accepted_), SOL_SOCKET, SO_LINGER, &at_once,
                        sizeof at_once, now_);
  close_peer();
  EXPECT_FALSE(run());
}

}  // namespace
}  // namespace ringway::reaper
