#include <cstring>

#include "base/random.h"
#include "control/daemon/test_support.h"
#include "control/proto/admin.h"

// Messages that no client of ours would send. Whatever comes, the daemon goes on and other clients
// notice nothing.
namespace ringway::control::daemon {
namespace {

class HostileTest : public testing::Test {
 protected:
  /// A connection that has joined, so that its requests get beyond the first check.
  base::UniqueFd joined() {
    auto socket = std::move(*connect_daemon({directory_.path(), {}, false, false}));
    proto::Hello hello;
    steering::set_text(hello.network, "default");
    EXPECT_TRUE(proto::send(socket.get(), hello, 1));
    EXPECT_TRUE(receive_next(socket.get(), monotonic_now() + base::Duration::seconds(10)));
    return socket;
  }
  static std::vector<std::byte> message(proto::Type type, std::size_t bytes) {
    std::vector<std::byte> text(std::max(bytes, sizeof(proto::Head)));
    const proto::Head head{proto::kMagic, proto::kVersion, type, static_cast<std::uint32_t>(bytes),
                           7};
    std::memcpy(text.data(), &head, sizeof head);
    text.resize(bytes);
    return text;
  }
  /// Sends and waits for an answer or a hang-up.
  static void send(int socket, std::span<const std::byte> text, std::span<const int> fds = {}) {
    if (!proto::send_bytes(socket, text, fds)) return;
    pollfd waited{socket, POLLIN, 0};
    EXPECT_EQ(base::sys::poll(&waited, 1, 10'000), 1);
  }
  void expect_alive() { EXPECT_TRUE(good_.resolve("ringway")); }

  TemporaryDirectory directory_;
  RunningDaemon daemon_{directory_.path()};
  Client good_ = std::move(*Client::connect({"default", "", "good", directory_.path(), {}, false}));
};

constexpr std::uint16_t kTypes = 256;

TEST_F(HostileTest, EveryTypeWithEveryWrongSize_BreaksOnlyItsSender) {
  for (std::uint16_t number = 0; number < kTypes; ++number) {
    const auto type = static_cast<proto::Type>(number);
    const auto right = proto::shape_of(type).bytes;
    for (const std::size_t wrong : {std::size_t{1}, sizeof(proto::Head) - 1, sizeof(proto::Head),
                                    right == 0 ? 64 : right - 1, right + 1, right + 300}) {
      if (wrong == right) continue;
      const auto socket = joined();
      send(socket.get(), message(type, wrong));
      EXPECT_TRUE(hangs_up(socket.get())) << number << " with " << wrong << " bytes";
    }
  }
  expect_alive();
}

TEST_F(HostileTest, EveryTypeWithEveryNumberOfDescriptors_ClosesThem) {
  const TestStack stack;
  const auto fds = stack.fds();
  const std::array<int, 4> all{fds.arena, fds.mailbox, fds.doorbell, fds.life};
  for (std::uint16_t number = 0; number < kTypes; ++number) {
    const auto type = static_cast<proto::Type>(number);
    if (type == proto::Type::kShutdown || proto::shape_of(type).bytes == 0) continue;
    for (std::size_t count = 0; count <= all.size(); ++count) {
      const auto socket = joined();
      send(socket.get(), message(type, proto::shape_of(type).bytes), std::span(all).first(count));
    }
  }
  expect_alive();
}

TEST_F(HostileTest, MoreDescriptorsThanAllowed_AreNotKept) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(base::sys::pipe2(ends, O_CLOEXEC), 0);
  const base::UniqueFd reader(ends[0]);
  base::UniqueFd writer(ends[1]);
  const auto socket = joined();
  auto text = message(proto::Type::kStatus, sizeof(proto::Status));
  std::array<int, 8> many{};
  many.fill(writer.get());
  iovec part{text.data(), text.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof many)> control{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof many);
  std::memcpy(CMSG_DATA(rights), many.data(), sizeof many);
  ASSERT_GT(base::sys::sendmsg(socket.get(), &header, MSG_NOSIGNAL), 0);
  EXPECT_TRUE(hangs_up(socket.get()));
  writer.reset();
  EXPECT_TRUE(hangs_up(reader.get()));
}

TEST_F(HostileTest, WrongMagicVersionOrTag_BreaksTheSession) {
  const auto right = message(proto::Type::kStatus, sizeof(proto::Status));
  for (const std::size_t offset : {0U, 4U, 8U}) {
    const auto socket = joined();
    auto wrong = right;
    wrong[offset] ^= std::byte{0x40};
    send(socket.get(), wrong);
    EXPECT_TRUE(hangs_up(socket.get())) << offset;
  }
  const auto socket = joined();
  auto event = right;
  std::memset(event.data() + 12, 0, 4);
  send(socket.get(), event);
  EXPECT_TRUE(hangs_up(socket.get()));
  expect_alive();
}

TEST_F(HostileTest, BeforeHello_RequestsOfProgramsAreRefused) {
  const auto socket = std::move(*connect_daemon({directory_.path(), {}, false, false}));
  proto::LeaseListen request;
  ASSERT_TRUE(proto::send(socket.get(), request, 3));
  const auto answer = receive_next(socket.get(), monotonic_now() + base::Duration::seconds(10));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->head().type, proto::Type::kFailure);
  EXPECT_EQ(answer->head().tag, 3U);
}

// Right in size, wrong in everything else: fields of random bits, with descriptors as the type
// wants them.
TEST_F(HostileTest, RandomFields_AreAnsweredOrBreakTheSession) {
  const TestStack stack;
  const auto its = stack.fds();
  const std::array<int, 4> all{its.arena, its.mailbox, its.doorbell, its.life};
  auto random = base::Random::seeded(2026);
  auto socket = joined();
  for (int i = 0; i < 20'000; ++i) {
    const auto type = static_cast<proto::Type>(random.below(kTypes));
    const auto shape = proto::shape_of(type);
    if (shape.bytes == 0 || type == proto::Type::kShutdown || type == proto::Type::kSetStay)
      continue;
    auto text = message(type, shape.bytes);
    // Few bits, so that small valid numbers come up as well.
    for (std::size_t at = sizeof(proto::Head); at < text.size(); ++at) {
      if (random.below(4) == 0)
        text[at] = static_cast<std::byte>(random.next() & random.next() & random.next());
    }
    if (!proto::send_bytes(socket.get(), text, std::span(all).first(shape.fds))) {
      socket = joined();
      continue;
    }
    pollfd waited{socket.get(), POLLIN, 0};
    ASSERT_EQ(base::sys::poll(&waited, 1, 10'000), 1);
    while (auto answer = proto::receive(socket.get())) {
      if (answer->size == 0) {
        socket = joined();
        break;
      }
    }
  }
  expect_alive();
}

}  // namespace
}  // namespace ringway::control::daemon
