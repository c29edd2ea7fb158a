#include "wire/tcp.h"

#include <gtest/gtest.h>

#include "wire/test_bytes.h"

namespace ringway::wire {
namespace {

std::vector<std::byte> emitted(const TcpHeader& h) {
  std::vector<std::byte> bytes(h.emitted_size());
  h.emit(bytes.data());
  return bytes;
}

TEST(Tcp, PlainHeader_ParsesAndEmitsTheSame) {
  const auto bytes = hex("0050 c001 11223344 55667788 50 18 2000 0000 0007");
  const auto h = TcpHeader::parse(bytes);
  ASSERT_TRUE(h);
  EXPECT_EQ(h->src_port, 80);
  EXPECT_EQ(h->dst_port, 0xc001);
  EXPECT_EQ(h->seq.value, 0x11223344U);
  EXPECT_EQ(h->ack.value, 0x55667788U);
  EXPECT_EQ(h->flags.bits, TcpFlags::kPsh | TcpFlags::kAck);
  EXPECT_EQ(h->window, 0x2000);
  EXPECT_EQ(h->urgent, 7);
  EXPECT_EQ(h->header_length, 20);
  EXPECT_EQ(emitted(*h), bytes);
}

TEST(Tcp, LinuxSyn_AllOptionsParsedAndEmittedInItsOrder) {
  const auto bytes =
      hex("8e1a 0050 00000001 00000000 a0 02 ffff 0000 0000"
          "020405b4 0402080a 01020304 00000000 01030307");
  const auto h = TcpHeader::parse(bytes);
  ASSERT_TRUE(h);
  EXPECT_TRUE(h->flags.syn());
  EXPECT_TRUE(h->options.has_mss);
  EXPECT_EQ(h->options.mss, 1460);
  EXPECT_TRUE(h->options.sack_permitted);
  EXPECT_TRUE(h->options.has_timestamps);
  EXPECT_EQ(h->options.timestamp_value, 0x01020304U);
  EXPECT_TRUE(h->options.has_window_scale);
  EXPECT_EQ(h->options.window_scale, 7);
  EXPECT_EQ(emitted(*h), bytes);
}

TEST(Tcp, TimestampsAlone_TakeTheShortWay) {
  const auto bytes =
      hex("0001 0002 00000001 00000002 80 10 0100 0000 0000 0101080a 0000000a 0000000b");
  const auto h = TcpHeader::parse(bytes);
  ASSERT_TRUE(h);
  EXPECT_TRUE(h->options.has_timestamps);
  EXPECT_EQ(h->options.timestamp_value, 10U);
  EXPECT_EQ(h->options.timestamp_echo, 11U);
  EXPECT_FALSE(h->options.has_mss);
  EXPECT_EQ(emitted(*h), bytes);
}

TEST(Tcp, TimestampsWithSackPermitted_EmitBoth) {
  TcpHeader h;
  h.options.has_timestamps = true;
  h.options.sack_permitted = true;
  h.options.timestamp_value = 5;
  const auto back = TcpHeader::parse(emitted(h));
  ASSERT_TRUE(back);
  EXPECT_TRUE(back->options.sack_permitted);
  EXPECT_EQ(back->options.timestamp_value, 5U);
}

TEST(Tcp, SackBlocks_ThreeBesideTimestamps) {
  const auto bytes =
      hex("0001 0002 00000001 00000002 f0 10 0100 0000 0000 0101080a 0000000a 0000000b"
          "0101051a 00000010 00000020 00000030 00000040 00000050 00000060");
  const auto h = TcpHeader::parse(bytes);
  ASSERT_TRUE(h);
  ASSERT_EQ(h->options.sack_count, 3);
  EXPECT_EQ(h->options.sack[0], (SackBlock{{0x10}, {0x20}}));
  EXPECT_EQ(h->options.sack[2], (SackBlock{{0x50}, {0x60}}));
  EXPECT_EQ(h->options.max_sack_blocks(), 3U);
  EXPECT_EQ(emitted(*h), bytes);
}

TEST(Tcp, FourSackBlocks_FillTheHeaderExactly) {
  TcpHeader h;
  h.options.sack_count = 4;
  h.options.sack[3] = {{7}, {9}};
  EXPECT_EQ(h.emitted_size(), 56U);
  const auto back = TcpHeader::parse(emitted(h));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->options.sack_count, 4);
  EXPECT_EQ(back->options.sack[3], (SackBlock{{7}, {9}}));
}

TEST(Tcp, UnknownOption_IsSkipped) {
  const auto h = TcpHeader::parse(
      hex("0001 0002 00000000 00000000 70 02 0000 0000 0000 fd 04 aa bb 02 04 05 b4"));
  ASSERT_TRUE(h);
  EXPECT_EQ(h->options.mss, 1460);
}

TEST(Tcp, KnownOptionOfWrongLength_IsSkipped) {
  const auto h = TcpHeader::parse(
      hex("0001 0002 00000000 00000000 70 02 0000 0000 0000 02 03 05 04 02 03 03 05"));
  ASSERT_TRUE(h);
  EXPECT_FALSE(h->options.has_mss);
  EXPECT_TRUE(h->options.sack_permitted);
  EXPECT_EQ(h->options.window_scale, 5);
}

TEST(Tcp, WindowScaleAbove14_IsTakenAs14) {
  const auto h =
      TcpHeader::parse(hex("0001 0002 00000000 00000000 60 02 0000 0000 0000 03 03 20 00"));
  ASSERT_TRUE(h);
  EXPECT_EQ(h->options.window_scale, 14);
}

TEST(Tcp, EndOfOptions_HidesWhatFollows) {
  const auto h = TcpHeader::parse(
      hex("0001 0002 00000000 00000000 70 02 0000 0000 0000 00 00 00 00 02 04 05 b4"));
  ASSERT_TRUE(h);
  EXPECT_FALSE(h->options.has_mss);
}

TEST(Tcp, OptionLengthZeroOneOrBeyondTheEnd_DoesNotParse) {
  for (const char* options : {"02 00 05 b4", "02 01 05 b4", "01 01 02 04", "01 01 01 02"}) {
    auto bytes = hex("0001 0002 00000000 00000000 60 02 0000 0000 0000");
    for (const auto b : hex(options)) bytes.push_back(b);
    EXPECT_FALSE(TcpHeader::parse(bytes)) << options;
  }
}

TEST(Tcp, DataOffsetTooSmallOrBeyondTheBytes_DoesNotParse) {
  auto bytes = hex("0001 0002 00000000 00000000 40 02 0000 0000 0000");
  EXPECT_FALSE(TcpHeader::parse(bytes));
  bytes[12] = std::byte{0x60};
  EXPECT_FALSE(TcpHeader::parse(bytes));
  bytes[12] = std::byte{0x50};
  EXPECT_TRUE(TcpHeader::parse(bytes));
  EXPECT_FALSE(TcpHeader::parse(std::span(bytes).first(19)));
}

TEST(Tcp, FinishTcp_MakesTheSumVerify) {
  auto segment = hex("0050 c001 11223344 55667788 50 18 2000 dead 0000 616263");
  const auto src = base::IpAddress::v4(10, 0, 0, 1);
  const auto dst = base::IpAddress::v4(10, 0, 0, 2);
  finish_tcp(segment, src, dst);
  auto sum = pseudo_header(src, dst, 6, static_cast<std::uint32_t>(segment.size()));
  sum.add(segment);
  EXPECT_TRUE(sum.verifies());
}

}  // namespace
}  // namespace ringway::wire
