#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <vector>

#include "driver/loop/loop.h"
#include "port/test_pool.h"
#include "stack/test_pair.h"

namespace ringway::stack {
namespace {

constexpr base::IpAddress kOurs = base::IpAddress::v4(10, 1, 0, 1);
constexpr base::IpAddress kTheirs = base::IpAddress::v4(10, 1, 0, 2);

/// Two stacks with one external port each, joined by a wire, in virtual time.
class StackPorts : public testing::Test {
 protected:
  StackPorts() {
    auto [a, b] = driver::open_loop({}, pools_[0].pool(), pools_[1].pool());
    ports_ = {std::move(a), std::move(b)};
    for (std::uint32_t i = 0; i < 2; ++i) {
      ends_[i] = StackPair::make(static_cast<std::uint16_t>(i + 1));
      Stack& stack = *ends_[i].stack;
      EXPECT_EQ(stack.add_port(*ports_[i], pools_[i].pool()), kFirstPort);
      stack.ip().add_address(kFirstInterface, {i == 0 ? kOurs : kTheirs, 24});
    }
  }
  Stack& a() { return *ends_[0].stack; }
  Stack& b() { return *ends_[1].stack; }
  void run(int turns = 50) {
    for (int i = 0; i < turns; ++i) {
      for (Stack* stack : {&a(), &b()}) {
        stack->turn(now_);
        tcp::Event event;
        while (stack->tcp().next_event(event)) {
        }
      }
      now_ = now_ + base::Duration::microseconds(100);
    }
  }
  /// From a to b; {a's, b's}.
  std::pair<std::uint32_t, std::uint32_t> connect() {
    const auto listener = b().tcp().listen({kTheirs, 80}, 16, 0, {});
    a().turn(now_);
    const std::uint32_t path = a().path_for(kFirstPort, kOurs, kTheirs);
    EXPECT_NE(path, 0U);
    const auto opened = a().tcp().connect({kOurs, 50'000}, {kTheirs, 80}, path, 0, {}, now_);
    run();
    return {opened.index, b().tcp().accept(listener.index)};
  }

  std::array<port::TestPool, 2> pools_;
  std::array<std::unique_ptr<port::Port>, 2> ports_;
  std::array<StackPair::End, 2> ends_;
  base::Instant now_{1'000'000};
};

TEST_F(StackPorts, NeighbourIsAsked_ThenConnectionCarriesBytes) {
  const auto [from, to] = connect();
  ASSERT_NE(to, 0U);
  std::vector<std::byte> data(100'000);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 31 % 253);
  std::vector<std::byte> got;
  std::size_t sent = 0;
  for (int i = 0; i < 1000 && got.size() < data.size(); ++i) {
    const iovec out{data.data() + sent, data.size() - sent};
    sent += a().tcp().send(from, {&out, 1}, false, now_).bytes;
    run(5);
    std::vector<std::byte> piece(70'000);
    const iovec in{piece.data(), piece.size()};
    piece.resize(b().tcp().recv(to, {&in, 1}, false, now_).bytes);
    got.insert(got.end(), piece.begin(), piece.end());
  }
  EXPECT_EQ(got, data);
}

TEST_F(StackPorts, ExternalNeighbour_IsWaitedForThenLearntFromFrames) {
  a().ip().set_neighbours_external(kFirstInterface);
  b().ip().set_neighbours_external(kFirstInterface);
  const auto [from, none] = connect();
  EXPECT_EQ(none, 0U) << "nobody knows the neighbour";
  EXPECT_EQ(a().ip().take_wanted(), kTheirs);
  a().ip().set_neighbour({kFirstInterface, kTheirs, ports_[1]->caps().mac}, a().port_tx(0));
  run();
  // b learns whom to answer from the frame itself.
  EXPECT_EQ(a().tcp().state(from), tcp::State::kEstablished);
}

TEST_F(StackPorts, DeviceIsGone_ConnectionsEndAndNothingIsHeld) {
  const auto [from, to] = connect();
  ASSERT_NE(to, 0U);
  a().take_port_down(kFirstPort, now_);
  EXPECT_EQ(a().tcp().state(from), tcp::State::kClosed);
  EXPECT_EQ(a().tcp().error(from), ENETDOWN);
  EXPECT_EQ(a().path_for(kFirstPort, kOurs, kTheirs), 0U);
  run();
}

TEST_F(StackPorts, SmallerMtu_HoldsForWhatIsSentFromThenOn) {
  const auto [from, to] = connect();
  ASSERT_NE(to, 0U);
  a().set_port_mtu(kFirstPort, 1000);
  EXPECT_EQ(a().path(a().path_for(kFirstPort, kOurs, kTheirs)).mtu, 1000);
  a().set_port_mtu(kFirstPort, 9000);
  EXPECT_EQ(a().path(a().path_for(kFirstPort, kOurs, kTheirs)).mtu, 1500) << "the port's own limit";
}

}  // namespace
}  // namespace ringway::stack
