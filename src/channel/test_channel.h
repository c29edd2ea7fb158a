#pragma once

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "control/daemon/test_support.h"
#include "ringway/channel.h"

// What the tests of channels share: a daemon, and one channel that talks to itself.
namespace ringway {

class ChannelTest : public testing::Test {
 protected:
  struct Pair {
    Handle listener;
    Handle client;
    Handle server;
  };
  static constexpr std::uint64_t kListen = 1, kAccept = 2, kConnect = 3;

  std::unique_ptr<Channel> open(ChannelOptions options = {}) {
    options.directory = directory_.path();
    Failure failure;
    auto channel = Channel::open(options, &failure);
    EXPECT_NE(channel, nullptr) << failure.what;
    return channel;
  }
  static Clock::time_point limit() { return Clock::now() + std::chrono::seconds(20); }
  /// The next completion; the test fails if none comes.
  static Completion next(Channel& channel) {
    Completion c;
    EXPECT_EQ(channel.wait({&c, 1}, 1, limit()), 1);
    return c;
  }
  static Handle listen(Channel& channel) {
    EXPECT_TRUE(channel.listen(Endpoint::any_v4(0), kListen));
    const Completion c = next(channel);
    EXPECT_EQ(c.operation, Operation::kListen);
    EXPECT_EQ(c.error, 0);
    return c.handle;
  }
  /// A connection from `from` to a standing accept of `to`, which may be the same channel.
  static Pair connect(Channel& from, Channel& to) {
    Pair pair;
    pair.listener = listen(to);
    EXPECT_TRUE(to.accept(pair.listener, kAccept));
    to.submit();
    EXPECT_TRUE(from.connect(Endpoint::loopback_v4(to.local(pair.listener).port), kConnect));
    const auto end = limit();
    while ((!pair.client.valid() || !pair.server.valid()) && Clock::now() < end) {
      for (Channel* channel : {&from, &to}) {
        Completion c;
        if (channel->poll({&c, 1}) == 0) continue;
        EXPECT_EQ(c.error, 0);
        (c.operation == Operation::kAccept ? pair.server : pair.client) = c.handle;
      }
    }
    EXPECT_TRUE(pair.client.valid() && pair.server.valid());
    return pair;
  }
  static std::string text(const Completion& c) {
    return {reinterpret_cast<const char*>(c.data), c.length};
  }

 private:
  control::daemon::TemporaryDirectory directory_;
  control::daemon::RunningDaemon daemon_{directory_.path()};
};

}  // namespace ringway
