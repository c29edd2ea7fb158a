#include "driver/tap/vnet_header.h"

#include <gtest/gtest.h>

#include <vector>

#include "wire/test_bytes.h"

namespace ringway::driver {
namespace {

using mem::FrameDesc;

// Ethernet, IPv4 (10.0.0.1 to 10.0.0.2, total length 3040), TCP with a header of 20 bytes.
std::vector<std::byte> tcp4() {
  return wire::hex(
      "ffffffffffff 020000000009 0800"
      "45000be0 00004000 40061b37 0a000001 0a000002"
      "04d20050 00000001 00000002 50100100 00000000");
}
std::vector<std::byte> udp6() {
  return wire::hex(
      "ffffffffffff 020000000009 86dd"
      "60000000 000c1140 fd000000000000000000000000000001 fd000000000000000000000000000002"
      "04d20035 000c0000 61626364");
}

FrameDesc gso4(std::uint16_t size) {
  FrameDesc desc;
  desc.flags = mem::kFrameCsumNeeded | mem::kFrameGsoTcp4;
  desc.gso_size = size;
  return desc;
}

TEST(ToVnet, PlainFrame_HasAnEmptyHeader) {
  VnetHeader header{1, 2, 3, 4, 5, 6};
  EXPECT_TRUE(to_vnet({}, wire::hex("00"), 1, header));
  EXPECT_EQ(header.flags, 0);
  EXPECT_EQ(header.gso_type, VnetHeader::kGsoNone);
  EXPECT_EQ(header.csum_start, 0);
}

TEST(ToVnet, ChecksumNeeded_SaysWhereItGoes) {
  VnetHeader header;
  FrameDesc desc;
  desc.flags = mem::kFrameCsumNeeded;
  const auto udp = udp6();
  ASSERT_TRUE(to_vnet(desc, udp, static_cast<std::uint32_t>(udp.size()), header));
  EXPECT_EQ(header.flags, VnetHeader::kNeedsChecksum);
  EXPECT_EQ(header.csum_start, 54);
  EXPECT_EQ(header.csum_offset, 6);
  ASSERT_TRUE(to_vnet(desc, tcp4(), 3054, header));
  EXPECT_EQ(header.csum_start, 34);
  EXPECT_EQ(header.csum_offset, 16);
  EXPECT_EQ(header.gso_type, VnetHeader::kGsoNone);
}

TEST(ToVnet, Segments_SaySizeAndHeaders) {
  VnetHeader header;
  ASSERT_TRUE(to_vnet(gso4(1460), tcp4(), 3054, header));
  EXPECT_EQ(header.gso_type, VnetHeader::kGsoTcp4);
  EXPECT_EQ(header.gso_size, 1460);
  EXPECT_EQ(header.hdr_len, 54);
}

TEST(ToVnet, OneSegment_IsAnOrdinaryFrame) {
  VnetHeader header;
  ASSERT_TRUE(to_vnet(gso4(3000), tcp4(), 3054, header));
  EXPECT_EQ(header.gso_type, VnetHeader::kGsoNone);
  EXPECT_EQ(header.flags, VnetHeader::kNeedsChecksum);
}

TEST(ToVnet, NotWhatItSays_IsRefused) {
  VnetHeader header;
  const auto tcp = tcp4();
  EXPECT_FALSE(to_vnet(gso4(0), tcp, 3054, header)) << "no size";
  FrameDesc desc = gso4(1460);
  desc.flags = mem::kFrameCsumNeeded | mem::kFrameGsoTcp6;
  EXPECT_FALSE(to_vnet(desc, tcp, 3054, header)) << "wrong family";
  desc.flags = mem::kFrameGsoTcp4;
  EXPECT_FALSE(to_vnet(desc, tcp, 3054, header)) << "segments without checksum";
  const auto udp = udp6();
  desc.flags = mem::kFrameCsumNeeded | mem::kFrameGsoTcp6;
  EXPECT_FALSE(to_vnet(desc, udp, static_cast<std::uint32_t>(udp.size()), header)) << "UDP";
  EXPECT_FALSE(to_vnet(gso4(1460), std::span(tcp).first(53), 3054, header)) << "headers cut";
  auto long_header = tcp;
  long_header[46] = std::byte{0xf0};
  EXPECT_FALSE(to_vnet(gso4(1460), long_header, 3054, header)) << "TCP options beyond the piece";
  auto fragment = tcp;
  fragment[20] = std::byte{0x20};
  fragment[24] = std::byte{0x3b};
  EXPECT_FALSE(to_vnet(gso4(1460), fragment, 3054, header)) << "fragment";
  auto other = tcp;
  other[23] = std::byte{132};
  desc.flags = mem::kFrameCsumNeeded;
  EXPECT_FALSE(to_vnet(desc, other, 3054, header)) << "SCTP";
}

TEST(FromVnet, NeedsChecksum_NeedsNoCheck) {
  FrameDesc desc;
  ASSERT_TRUE(from_vnet({VnetHeader::kNeedsChecksum, 0, 0, 0, 34, 16}, 54, desc));
  EXPECT_EQ(desc.flags, mem::kFrameCsumOk | mem::kFrameCsumNeeded);
  EXPECT_EQ(desc.l4_offset, 34);
}

TEST(FromVnet, DataValid_NeedsNoCheck) {
  FrameDesc desc;
  ASSERT_TRUE(from_vnet({VnetHeader::kDataValid, 0, 0, 0, 0, 0}, 54, desc));
  EXPECT_EQ(desc.flags, mem::kFrameCsumOk);
}

TEST(FromVnet, NothingSaid_IsToBeChecked) {
  FrameDesc desc;
  ASSERT_TRUE(from_vnet({}, 54, desc));
  EXPECT_EQ(desc.flags, 0);
}

TEST(FromVnet, Segments_KeepTheirSize) {
  FrameDesc desc;
  ASSERT_TRUE(from_vnet(
      {VnetHeader::kNeedsChecksum, VnetHeader::kGsoTcp6 | VnetHeader::kGsoEcn, 74, 1440, 54, 16},
      9000, desc));
  EXPECT_EQ(desc.flags, mem::kFrameCsumOk | mem::kFrameCsumNeeded | mem::kFrameGsoTcp6);
  EXPECT_EQ(desc.gso_size, 1440);
}

TEST(FromVnet, Nonsense_IsRefused) {
  FrameDesc desc;
  EXPECT_FALSE(from_vnet({VnetHeader::kNeedsChecksum, 0, 0, 0, 34, 19}, 54, desc))
      << "field outside";
  EXPECT_FALSE(from_vnet({VnetHeader::kNeedsChecksum, 0, 0, 0, 0xffff, 0xffff}, 54, desc));
  EXPECT_FALSE(
      from_vnet({VnetHeader::kNeedsChecksum, VnetHeader::kGsoTcp4, 54, 0, 34, 16}, 9000, desc))
      << "no size";
  EXPECT_FALSE(from_vnet({0, VnetHeader::kGsoTcp4, 54, 1460, 34, 16}, 9000, desc)) << "no checksum";
  EXPECT_FALSE(from_vnet({VnetHeader::kNeedsChecksum, 3, 42, 1000, 34, 6}, 9000, desc)) << "UDP";
}

}  // namespace
}  // namespace ringway::driver
