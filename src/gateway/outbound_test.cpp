#include "gateway/outbound.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <optional>

#include "base/unique_fd.h"
#include "steering/table_writer.h"
#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/udp.h"

namespace ringway::gateway {
namespace {

using base::IpAddress;

constexpr IpAddress kOurs = IpAddress::v4(10, 0, 0, 2);
constexpr IpAddress kOtherHost = IpAddress::v4(10, 0, 0, 3);
constexpr IpAddress kKernel = IpAddress::v4(10, 0, 0, 1);

class OutboundTest : public testing::Test {
 protected:
  OutboundTest() {
    steering::Network network;
    network.prefix4 = IpAddress::v4(10, 0, 0, 0);
    network.prefix4_length = 24;
    fd_ = base::UniqueFd(::memfd_create("table", MFD_CLOEXEC));
    writer_.emplace(*steering::TableWriter::create(fd_.get(), network, 1));
    for (const IpAddress& address : {kOurs, kOtherHost}) {
      steering::Host host;
      host.ipv4 = address;
      steering::set_text(host.name, address == kOurs ? "ours" : "other");
      EXPECT_TRUE(writer_->add_host(host));
    }
    table_.emplace(*steering::Table::attach(fd_.get()));
  }

  /// A frame of 10.0.0.2's stack; `ip` says from where and to where it claims to be.
  Outbound check(wire::Ipv4Header ip, std::span<const std::byte> l4) {
    ip.total_length = static_cast<std::uint16_t>(wire::Ipv4Header::kSize + l4.size());
    const auto frame = std::span(bytes_).first(14U + ip.total_length);
    wire::EthernetHeader{{}, {}, wire::EtherType::kIpv4}.emit(frame.data());
    ip.emit(&frame[14]);
    std::copy(l4.begin(), l4.end(), frame.begin() + 34);
    wire::PacketView view;
    EXPECT_EQ(wire::parse_frame(frame, {.checksums_trusted = true}, view), wire::ParseDrop::kNone);
    return check_outbound(kOurs, IpAddress::any_v6(), *table_, frame, view);
  }
  static wire::Ipv4Header header(const IpAddress& from, const IpAddress& to,
                                 wire::Protocol protocol) {
    wire::Ipv4Header ip;
    ip.src = from;
    ip.dst = to;
    ip.protocol = protocol;
    return ip;
  }
  Outbound check_udp(const IpAddress& from, const IpAddress& to) {
    std::array<std::byte, 8> udp{};
    wire::UdpHeader{5000, 53, 8, 0}.emit(udp.data());
    return check(header(from, to, wire::Protocol::kUdp), udp);
  }
  Outbound check_icmp(wire::IcmpType type) {
    std::array<std::byte, 8> icmp{};
    wire::IcmpHeader{static_cast<std::uint8_t>(type), 0, 0}.emit(icmp.data());
    return check(header(kOurs, kKernel, wire::Protocol::kIcmp), icmp);
  }

  base::UniqueFd fd_;
  std::optional<steering::TableWriter> writer_;
  std::optional<steering::Table> table_;
  std::array<std::byte, 256> bytes_{};
};

TEST_F(OutboundTest, Own_IsUpToTheFlow) {
  const Outbound outbound = check_udp(kOurs, kKernel);
  EXPECT_FALSE(outbound.refused);
  const FlowKey expected{{kOurs, 5000}, {kKernel, 53}, steering::Protocol::kUdp};
  EXPECT_EQ(outbound.key, expected);
}

TEST_F(OutboundTest, SourceOfAnotherHostOrOfNobody_IsRefused) {
  EXPECT_EQ(check_udp(kOtherHost, kKernel).refused, Count::kDropForeignSource);
  EXPECT_EQ(check_udp(IpAddress::v4(8, 8, 8, 8), kKernel).refused, Count::kDropForeignSource);
  EXPECT_EQ(check_udp(kKernel, kKernel).refused, Count::kDropForeignSource);
}

TEST_F(OutboundTest, DestinationOfAHostOrOfMany_IsRefused) {
  EXPECT_EQ(check_udp(kOurs, kOtherHost).refused, Count::kDropMisdirected);
  EXPECT_EQ(check_udp(kOurs, IpAddress::v4(224, 0, 0, 251)).refused, Count::kDropMisdirected);
  EXPECT_EQ(check_udp(kOurs, IpAddress::loopback_v4()).refused, Count::kDropMisdirected);
}

TEST_F(OutboundTest, Redirect_IsRefused_ErrorsAndEchoAreNot) {
  EXPECT_EQ(check_icmp(wire::IcmpType::kRedirect).refused, Count::kDropForbidden);
  EXPECT_FALSE(check_icmp(wire::IcmpType::kUnreachable).refused);
  EXPECT_FALSE(check_icmp(wire::IcmpType::kEchoReply).refused);
}

TEST_F(OutboundTest, OtherProtocols_AreRefused) {
  const std::array<std::byte, 16> payload{};
  EXPECT_EQ(check(header(kOurs, kKernel, wire::Protocol::kIgmp), payload).refused,
            Count::kDropForbidden);
  EXPECT_EQ(check(header(kOurs, kKernel, wire::Protocol::kEsp), payload).refused,
            Count::kDropForbidden);
}

TEST_F(OutboundTest, FirstFragment_HasPorts_LaterOnesDoNot_TcpHasNone) {
  std::array<std::byte, 16> udp{};
  wire::UdpHeader{5000, 53, 32, 0}.emit(udp.data());
  wire::Ipv4Header ip = header(kOurs, kKernel, wire::Protocol::kUdp);
  ip.more_fragments = true;
  const Outbound first = check(ip, udp);
  ASSERT_TRUE(first.key);
  EXPECT_EQ(first.key->local.port, 5000);
  ip.fragment_offset = 16;
  const Outbound later = check(ip, udp);
  EXPECT_FALSE(later.refused);
  EXPECT_FALSE(later.key);
  ip.protocol = wire::Protocol::kTcp;
  EXPECT_EQ(check(ip, udp).refused, Count::kDropForbidden);
}

}  // namespace
}  // namespace ringway::gateway
