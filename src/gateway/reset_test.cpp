#include "gateway/reset.h"

#include <gtest/gtest.h>

#include <vector>

#include "port/test_pool.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/tcp.h"

namespace ringway::gateway {
namespace {

using wire::TcpFlags;

/// Takes what is sent.
class SinkPort final : public port::Port {
 public:
  explicit SinkPort(mem::FramePool& pool) : pool_(pool) {}
  std::string_view name() const override { return "sink"; }
  const port::Caps& caps() const override { return caps_; }
  std::size_t rx_burst(std::span<mem::FrameDesc>) override { return 0; }
  std::size_t tx_burst(std::span<const mem::FrameDesc> packets) override {
    for (const auto& p : packets) {
      const std::byte* data = pool_.data(p.slot) + p.offset;
      sent.emplace_back(data, data + p.length);
      pool_.free(p.slot);
    }
    return packets.size();
  }
  base::Result<int> arm() override {
    return base::fail(base::ErrorCode::kUnavailable, "a test's port wakes nobody");
  }
  std::vector<std::vector<std::byte>> sent;

 private:
  mem::FramePool& pool_;
  port::Caps caps_;
};

constexpr base::MacAddress kKernel{{2, 0, 0, 0, 0, 1}};
constexpr base::MacAddress kOurs{{2, 0, 0, 0, 0, 2}};

class ResetTest : public testing::Test {
 protected:
  /// The answer to a segment from 10.0.0.1:1000 to 10.0.0.2:80; empty if there was none.
  std::optional<wire::TcpHeader> answer(std::uint32_t seq, std::uint32_t ack, std::uint8_t flags,
                                        std::size_t payload = 0) {
    wire::TcpHeader h;
    h.seq = {seq};
    h.ack = {ack};
    h.flags = {flags};
    h.src_port = 1000;
    h.dst_port = 80;
    std::array<std::byte, 128> bytes_of_frame{};
    const auto frame = std::span(bytes_of_frame).first(54 + payload);
    wire::EthernetHeader{kOurs, kKernel, wire::EtherType::kIpv4}.emit(frame.data());
    wire::Ipv4Header ip;
    ip.src = base::IpAddress::v4(10, 0, 0, 1);
    ip.dst = base::IpAddress::v4(10, 0, 0, 2);
    ip.total_length = static_cast<std::uint16_t>(40 + payload);
    ip.emit(&frame[14]);
    h.emit(&frame[34]);
    wire::PacketView view;
    EXPECT_EQ(wire::parse_frame(frame, {.checksums_trusted = true}, view), wire::ParseDrop::kNone);
    const bool sent = send_reset(frame, view, kOurs, tx_);
    tx_.flush();
    EXPECT_EQ(sent, !port_.sent.empty());
    if (!sent) return std::nullopt;
    const auto& bytes = port_.sent.back();
    EXPECT_EQ(wire::EthernetHeader::parse(bytes)->dst, kKernel);
    wire::PacketView back;
    EXPECT_EQ(wire::parse_frame(bytes, {}, back), wire::ParseDrop::kNone);  // checksums are right
    EXPECT_EQ(back.dst, ip.src);
    EXPECT_EQ(back.dst_port, 1000);
    return wire::TcpHeader::parse(std::span(bytes).subspan(34));
  }

  port::TestPool pool_;
  SinkPort port_{pool_.pool()};
  port::TxBatch tx_{&port_, &pool_.pool(), nullptr, 0};
};

// RFC 9293, 3.10.7.1.
TEST_F(ResetTest, Syn_IsAnsweredByResetThatAcknowledgesIt) {
  const auto reset = answer(100, 0, TcpFlags::kSyn);
  ASSERT_TRUE(reset);
  EXPECT_EQ(reset->flags.bits, TcpFlags::kRst | TcpFlags::kAck);
  EXPECT_EQ(reset->seq.value, 0U);
  EXPECT_EQ(reset->ack.value, 101U);
}

TEST_F(ResetTest, DataWithoutAck_IsAcknowledgedWithItsLength) {
  const auto reset = answer(100, 0, TcpFlags::kFin, 10);
  ASSERT_TRUE(reset);
  EXPECT_EQ(reset->ack.value, 111U);
}

TEST_F(ResetTest, Ack_IsAnsweredAtItsOwnSequence) {
  const auto reset = answer(100, 777, TcpFlags::kAck, 10);
  ASSERT_TRUE(reset);
  EXPECT_EQ(reset->flags.bits, TcpFlags::kRst);
  EXPECT_EQ(reset->seq.value, 777U);
}

TEST_F(ResetTest, Reset_IsNotAnswered) { EXPECT_FALSE(answer(100, 0, TcpFlags::kRst)); }

}  // namespace
}  // namespace ringway::gateway
