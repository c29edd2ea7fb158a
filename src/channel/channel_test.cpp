#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "channel/test_channel.h"

namespace ringway {
namespace {

TEST_F(ChannelTest, Connect_BothEndsCompleteWithHandlesAndUserData) {
  auto channel = open();
  const Handle listener = listen(*channel);
  const std::uint16_t port = channel->local(listener).port;
  ASSERT_NE(port, 0);
  channel->accept(listener, 17);
  channel->connect(Endpoint::loopback_v4(port), 18);
  std::array<Completion, 2> done;
  ASSERT_EQ(channel->wait(done, 2, limit()), 2);
  if (done[0].operation == Operation::kConnect) std::swap(done[0], done[1]);
  EXPECT_EQ(done[0].operation, Operation::kAccept);
  EXPECT_EQ(done[0].user_data, 17U);
  EXPECT_TRUE(done[0].more());
  EXPECT_EQ(done[1].operation, Operation::kConnect);
  EXPECT_EQ(done[1].user_data, 18U);
  EXPECT_FALSE(done[1].more());
  EXPECT_EQ(channel->peer(done[1].handle), Endpoint::loopback_v4(port));
  EXPECT_EQ(channel->local(done[1].handle), channel->peer(done[0].handle));
}

TEST_F(ChannelTest, Write_ArrivesInTheBufferOfTheRead) {
  auto channel = open();
  const Pair pair = connect(*channel, *channel);
  std::array<char, 16> buffer{};
  channel->read(pair.server, buffer.data(), buffer.size(), 5);
  channel->write(pair.client, "hello", 5, 6);
  std::array<Completion, 2> done;
  ASSERT_EQ(channel->wait(done, 2, limit()), 2);
  EXPECT_EQ(done[0].operation, Operation::kWrite);
  EXPECT_EQ(done[0].user_data, 6U);
  EXPECT_EQ(done[0].length, 5U);
  EXPECT_EQ(done[1].user_data, 5U);
  EXPECT_EQ(done[1].handle, pair.server);
  EXPECT_EQ(text(done[1]), "hello");
  EXPECT_EQ(static_cast<void*>(done[1].data), buffer.data());
}

TEST_F(ChannelTest, StandingRead_CompletesForEveryArrivalAndOnceAtTheEnd) {
  auto channel = open();
  const Pair pair = connect(*channel, *channel);
  std::array<char, 3> buffer{};
  channel->read(pair.server, buffer.data(), buffer.size(), 5, kStanding);
  channel->write(pair.client, "abcdef", 6, 0, kQuiet);
  channel->half_close(pair.client, 0, kQuiet);
  std::string all;
  Completion c = next(*channel);
  for (; c.length != 0; c = next(*channel)) {
    EXPECT_TRUE(c.more());
    all += text(c);
  }
  EXPECT_EQ(all, "abcdef");
  EXPECT_EQ(c.error, 0);
  EXPECT_FALSE(c.more());
  EXPECT_EQ(channel->poll({&c, 1}), 0U);
}

TEST_F(ChannelTest, Lend_ShowsTheBytesUntilTheyAreReleased_OnceOnly) {
  auto channel = open();
  const Pair pair = connect(*channel, *channel);
  const std::string large(20'000, 'z');
  channel->lend(pair.server, 9);
  channel->write(pair.client, "small", 5, 0, kQuiet);
  const Completion small = next(*channel);
  EXPECT_EQ(text(small), "small");
  EXPECT_NE(small.loan, 0U);
  channel->write(pair.client, large.data(), large.size(), 0, kQuiet);
  std::string got;
  while (got.size() < large.size()) {
    const Completion c = next(*channel);
    ASSERT_EQ(c.error, 0);
    got += text(c);
    channel->release(c);
  }
  EXPECT_EQ(got, large);
  EXPECT_EQ(text(small), "small") << "still lent";
  channel->release(small);
  channel->release(small);
  const Completion refused = next(*channel);
  EXPECT_EQ(refused.operation, Operation::kRelease);
  EXPECT_EQ(refused.error, EINVAL);
}

TEST_F(ChannelTest, LargeWrite_CompletesWhenAllOfItIsTaken) {
  auto channel = open();
  const Pair pair = connect(*channel, *channel);
  std::string sent(6'000'000, ' ');
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 31 >> 7);
  channel->write(pair.client, sent.data(), sent.size(), 1);
  channel->write(pair.client, "end", 3, 2);
  channel->half_close(pair.client, 3);
  std::vector<char> buffer(100'000);
  channel->read(pair.server, buffer.data(), buffer.size(), 0, kStanding);
  std::string got;
  std::vector<std::uint64_t> order;
  for (Completion c = next(*channel); order.size() < 3 || c.length != 0; c = next(*channel)) {
    ASSERT_EQ(c.error, 0);
    if (c.operation == Operation::kRead) {
      got += text(c);
    } else {
      order.push_back(c.user_data);
      EXPECT_EQ(c.length, c.user_data == 1 ? sent.size() : c.user_data == 2 ? 3 : 0);
    }
  }
  EXPECT_EQ(order, (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_TRUE(got == sent + "end");
}

TEST_F(ChannelTest, HalfClose_TheOtherDirectionGoesOn) {
  auto channel = open();
  const Pair pair = connect(*channel, *channel);
  std::array<char, 16> at_server{};
  std::array<char, 16> at_client{};
  channel->half_close(pair.client, 0, kQuiet);
  channel->read(pair.server, at_server.data(), at_server.size(), 1);
  EXPECT_EQ(next(*channel).length, 0U);
  channel->write(pair.server, "late", 4, 0, kQuiet);
  channel->read(pair.client, at_client.data(), at_client.size(), 2);
  EXPECT_EQ(text(next(*channel)), "late");
  channel->write(pair.client, "no", 2, 3);
  EXPECT_EQ(next(*channel).error, EPIPE);
}

TEST_F(ChannelTest, CloseWhileReading_CancelsWhatIsUnderWay) {
  auto channel = open();
  const Pair pair = connect(*channel, *channel);
  std::array<char, 16> buffer{};
  channel->read(pair.client, buffer.data(), buffer.size(), 1, kStanding);
  channel->read(pair.client, buffer.data(), buffer.size(), 2);
  channel->close(pair.client, 3);
  for (const std::uint64_t expected : {1U, 2U}) {
    const Completion c = next(*channel);
    EXPECT_EQ(c.user_data, expected);
    EXPECT_EQ(c.error, ECANCELED);
    EXPECT_FALSE(c.more());
  }
  const Completion closed = next(*channel);
  EXPECT_EQ(closed.operation, Operation::kClose);
  EXPECT_EQ(closed.error, 0);
  channel->read(pair.server, buffer.data(), buffer.size(), 4);
  EXPECT_EQ(next(*channel).length, 0U) << "the peer sees the end";
}

TEST_F(ChannelTest, HandleOfAClosedConnection_NeverNamesItsSuccessor) {
  auto channel = open();
  const Pair pair = connect(*channel, *channel);
  channel->close(pair.client, 0, kQuiet);
  const Pair second = connect(*channel, *channel);
  EXPECT_EQ(second.listener.index, pair.client.index) << "the place is used again";
  EXPECT_NE(second.listener, pair.client);
  std::array<char, 4> buffer{};
  channel->write(pair.client, "x", 1, 1);
  channel->read(pair.client, buffer.data(), buffer.size(), 2);
  channel->close(pair.client, 3);
  channel->accept(pair.client, 4);
  channel->half_close(pair.client, 5);
  channel->lend(Handle{4'000'000'000U, 1}, 6);
  for (std::uint64_t i = 1; i <= 6; ++i) {
    const Completion c = next(*channel);
    EXPECT_EQ(c.user_data, i);
    EXPECT_EQ(c.error, EBADF);
  }
  EXPECT_EQ(channel->local(pair.client).port, 0);
}

TEST_F(ChannelTest, WrongUse_CompletesWithEinval) {
  auto channel = open();
  const Pair pair = connect(*channel, *channel);
  std::array<char, 4> buffer{};
  channel->accept(pair.client, 1);
  channel->read(pair.listener, buffer.data(), buffer.size(), 2);
  channel->read(pair.client, buffer.data(), 0, 3);
  channel->write(pair.client, buffer.data(), 0, 4);
  channel->write(pair.client, buffer.data(), std::size_t{1} << 33, 5);
  for (std::uint64_t i = 1; i <= 5; ++i) {
    const Completion c = next(*channel);
    EXPECT_EQ(c.user_data, i);
    EXPECT_EQ(c.error, EINVAL);
  }
}

TEST_F(ChannelTest, QueueFull_RefusesUntilSubmit) {
  auto channel = open({.submissions = 4});
  EXPECT_EQ(channel->room(), 4U);
  for (std::uint64_t i = 0; i < 4; ++i) EXPECT_TRUE(channel->close({1, 99}, i));
  EXPECT_EQ(channel->room(), 0U);
  EXPECT_FALSE(channel->close({1, 99}, 4));
  EXPECT_FALSE(channel->connect(Endpoint::loopback_v4(1), 4));
  EXPECT_EQ(channel->submit(), 0U);
  EXPECT_EQ(channel->room(), 4U);
  EXPECT_TRUE(channel->close({1, 99}, 4));
  for (std::uint64_t i = 0; i < 5; ++i) EXPECT_EQ(next(*channel).user_data, i);
}

TEST_F(ChannelTest, CompletionsNotTaken_HoldSubmissionsBack) {
  auto channel = open({.submissions = 8, .operations = 8});
  std::uint64_t submitted = 0;
  while (channel->submit() == 0) {
    while (channel->room() != 0) channel->close({1, 99}, submitted++);
  }
  EXPECT_GT(submitted, 8U);
  for (std::uint64_t i = 0; i < submitted; ++i) EXPECT_EQ(next(*channel).user_data, i);
  EXPECT_EQ(channel->submit(), 0U);
}

TEST_F(ChannelTest, TooManyOperationsUnderWay_Enobufs) {
  auto channel = open({.operations = 4});
  const Pair pair = connect(*channel, *channel);  // a standing accept is one
  std::array<char, 4> buffer{};
  for (std::uint64_t i = 0; i < 4; ++i) channel->read(pair.client, buffer.data(), 1, i);
  const Completion c = next(*channel);
  EXPECT_EQ(c.user_data, 3U);
  EXPECT_EQ(c.error, ENOBUFS);
}

TEST_F(ChannelTest, SmallArray_TheRestComesWithTheNextCalls) {
  auto channel = open();
  const Pair pair = connect(*channel, *channel);
  for (std::uint64_t i = 0; i < 10; ++i) channel->write(pair.client, "x", 1, i);
  for (std::uint64_t i = 0; i < 10; ++i) EXPECT_EQ(next(*channel).user_data, i);
}

TEST_F(ChannelTest, NobodyListens_Refused) {
  auto channel = open();
  const Handle listener = listen(*channel);
  const std::uint16_t port = channel->local(listener).port;
  channel->close(listener, 0, kQuiet);
  channel->connect(Endpoint::loopback_v4(port), 7);
  const Completion c = next(*channel);
  EXPECT_EQ(c.operation, Operation::kConnect);
  EXPECT_EQ(c.user_data, 7U);
  EXPECT_EQ(c.error, ECONNREFUSED);
}

TEST_F(ChannelTest, CloseOfAListener_CancelsAcceptAndFreesThePort) {
  auto channel = open();
  const Handle listener = listen(*channel);
  const std::uint16_t port = channel->local(listener).port;
  channel->accept(listener, 1);
  channel->listen(Endpoint::any_v4(port), 2);
  channel->close(listener, 3);
  channel->listen(Endpoint::any_v4(port), 4);
  EXPECT_EQ(next(*channel).error, EADDRINUSE);
  EXPECT_EQ(next(*channel).error, ECANCELED);
  EXPECT_EQ(next(*channel).user_data, 3U);
  const Completion again = next(*channel);
  EXPECT_EQ(again.user_data, 4U);
  EXPECT_EQ(again.error, 0);
}

TEST_F(ChannelTest, SingleAccept_TakesOneConnection) {
  auto channel = open();
  const Handle listener = listen(*channel);
  const Endpoint at = Endpoint::loopback_v4(channel->local(listener).port);
  channel->accept(listener, 1, kOnce);
  channel->connect(at, 2);
  channel->connect(at, 2);
  std::array<Completion, 3> done;
  ASSERT_EQ(channel->wait(done, 3, limit()), 3);
  EXPECT_EQ(std::count_if(done.begin(), done.end(), [](auto& c) { return c.user_data == 1; }), 1);
  EXPECT_EQ(channel->poll(done), 0U);
  channel->accept(listener, 3, kOnce);
  EXPECT_EQ(next(*channel).user_data, 3U);
}

TEST_F(ChannelTest, PeerClosesWithUnreadBytes_ReadFailsWithReset) {
  auto channel = open();
  const Pair pair = connect(*channel, *channel);
  std::array<char, 4> buffer{};
  channel->write(pair.client, "lost", 4, 1);
  EXPECT_EQ(next(*channel).error, 0);
  std::array<Completion, 1> none;
  channel->poll(none);  // the bytes are in the server's queue now
  channel->close(pair.server, 0, kQuiet);
  channel->read(pair.client, buffer.data(), buffer.size(), 2);
  EXPECT_EQ(next(*channel).error, ECONNRESET);
}

TEST_F(ChannelTest, Wait_ComesBackAtTheDeadlineWithWhatThereIs) {
  auto channel = open();
  Completion c;
  EXPECT_EQ(channel->wait({&c, 1}, 1, Clock::now()), 0);
  channel->close({1, 99}, 5);
  std::array<Completion, 2> done;
  EXPECT_EQ(channel->wait(done, 2, Clock::now() + std::chrono::milliseconds(2)), 1);
  EXPECT_EQ(channel->wait({}, 1), 0);
}

TEST_F(ChannelTest, Timers_CompleteInTheOrderOfTheirTimes) {
  auto channel = open();
  const auto now = Clock::now();
  const auto ms = [&](int n) { return now + std::chrono::milliseconds(n); };
  channel->timer(ms(3), 3);
  const Handle cancelled = channel->timer(ms(2), 2);
  const Handle first = channel->timer(ms(1), 1);
  channel->timer(ms(3), 4);
  EXPECT_TRUE(channel->cancel(cancelled));
  EXPECT_FALSE(channel->cancel(cancelled));
  for (const std::uint64_t expected : {1U, 3U, 4U}) {
    const Completion c = next(*channel);
    EXPECT_EQ(c.operation, Operation::kTimer);
    EXPECT_EQ(c.user_data, expected);
    EXPECT_GE(Clock::now(), ms(static_cast<int>(std::min<std::uint64_t>(expected, 3))));
  }
  EXPECT_FALSE(channel->cancel(first));
  EXPECT_FALSE(channel->cancel(Handle{1, 1}));
}

TEST_F(ChannelTest, TwoChannels_TalkAcrossALink) {
  auto server = open();
  auto client = open();
  const Pair pair = connect(*client, *server);
  std::array<char, 64> buffer{};
  server->lend(pair.server, 1);
  server->submit();
  client->write(pair.client, "ping", 4, 0, kQuiet);
  client->submit();
  const Completion ping = next(*server);
  EXPECT_EQ(text(ping), "ping");
  server->write(pair.server, ping.data, ping.length, 0, kQuiet);
  server->release(ping);
  server->submit();
  client->read(pair.client, buffer.data(), buffer.size(), 2);
  EXPECT_EQ(text(next(*client)), "ping");
  client.reset();
  const Completion end = next(*server);
  EXPECT_EQ(end.operation, Operation::kLend);
  EXPECT_EQ(end.length, 0U);
}

TEST_F(ChannelTest, Arm_DescriptorBecomesReadableWhenSomethingArrives) {
  auto server = open();
  auto client = open();
  const Pair pair = connect(*client, *server);
  std::array<char, 64> buffer{};
  Completion c;
  server->read(pair.server, buffer.data(), buffer.size(), 1);
  server->poll({&c, 1});
  const auto at = Clock::now() + std::chrono::hours(1);
  const Handle timer = server->timer(at, 0);
  Clock::time_point deadline;
  int fd = -EAGAIN;
  while ((fd = server->arm(&deadline)) == -EAGAIN) ASSERT_EQ(server->poll({&c, 1}), 0U);
  ASSERT_GE(fd, 0);
  EXPECT_LE(deadline, at);
  client->write(pair.client, "wake", 4, 0, kQuiet);
  client->submit();
  pollfd waited{fd, POLLIN, 0};
  ASSERT_EQ(poll(&waited, 1, 20'000), 1);
  EXPECT_EQ(text(next(*server)), "wake");
  EXPECT_TRUE(server->cancel(timer));
  server->close(pair.server, 2);
  EXPECT_EQ(server->arm(nullptr), -EAGAIN) << "a submission waits";
}

TEST_F(ChannelTest, NoNetwork_OpenSaysWhy) {
  Failure failure;
  ChannelOptions options;
  options.directory = "/proc/none";
  EXPECT_EQ(Channel::open(options, &failure), nullptr);
  EXPECT_FALSE(failure.what.empty());
}

TEST(Endpoint, ParseAndText_AreInverse) {
  for (const char* text : {"127.0.0.1:80", "[fd00::1]:443", "0.0.0.0:0"}) {
    const auto endpoint = Endpoint::parse(text);
    ASSERT_TRUE(endpoint.has_value()) << text;
    EXPECT_EQ(endpoint->text(), text);
  }
  for (const char* text :
       {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "host:80", "::1:80", "127.0.0.1:8x"}) {
    EXPECT_FALSE(Endpoint::parse(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace ringway
