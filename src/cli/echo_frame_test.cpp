#include "cli/echo_frame.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "wire/icmp.h"
#include "wire/packet_view.h"

namespace ringway::cli {
namespace {

class EchoFrame : public testing::TestWithParam<bool> {
 protected:
  EchoKey key() const {
    if (GetParam())
      return {base::IpAddress::v4(10, 0, 0, 1), base::IpAddress::v4(10, 0, 0, 2), 7, 9};
    return {base::parse_ip("fd00::1").value(), base::parse_ip("fd00::2").value(), 7, 9};
  }
  /// What the other side would answer.
  static std::vector<std::byte> reply_to(std::vector<std::byte> frame) {
    wire::PacketView view;
    EXPECT_EQ(wire::parse_frame(frame, {}, view), wire::ParseDrop::kNone);
    const std::size_t address = view.is_v4() ? 4 : 16;
    const auto source = frame.begin() + view.l3_offset + (view.is_v4() ? 12 : 8);
    std::swap_ranges(source, source + static_cast<std::ptrdiff_t>(address),
                     source + static_cast<std::ptrdiff_t>(address));
    frame[view.l4_offset] = view.is_v4() ? std::byte{0} : std::byte{129};
    return frame;
  }
};

TEST_P(EchoFrame, Request_ParsesWithRightChecksums) {
  const auto frame = make_echo_request(key(), 56);
  wire::PacketView view;
  EXPECT_EQ(wire::parse_frame(frame, {}, view), wire::ParseDrop::kNone);
  EXPECT_TRUE(view.l4_checksum_ok);
  EXPECT_EQ(view.src, key().from);
  EXPECT_EQ(view.dst, key().to);
  EXPECT_EQ(view.l4_length(), 64U);
}

TEST_P(EchoFrame, Reply_IsRecognised_OthersAreNot) {
  const auto request = make_echo_request(key(), 56);
  const auto reply = reply_to(request);
  EXPECT_TRUE(is_echo_reply(reply, key()));
  EXPECT_FALSE(is_echo_reply(request, key()));
  auto later = key();
  later.sequence = 10;
  EXPECT_FALSE(is_echo_reply(reply, later));
  auto stranger = key();
  stranger.id = 8;
  EXPECT_FALSE(is_echo_reply(reply, stranger));
  for (std::size_t length = 0; length < reply.size(); ++length) {
    EXPECT_FALSE(is_echo_reply(std::span(reply).first(length), key())) << length;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, EchoFrame, testing::Bool());

}  // namespace
}  // namespace ringway::cli
