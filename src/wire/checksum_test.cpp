#include "wire/checksum.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/bytes.h"
#include "base/random.h"
#include "wire/test_bytes.h"

namespace ringway::wire {
namespace {

// The definition (RFC 1071, 1), one word after the other.
std::uint16_t reference(std::span<const std::byte> bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto b = static_cast<std::uint32_t>(bytes[i]);
    sum += i % 2 == 0 ? b << 8 : b;
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(~sum);
}

std::vector<std::byte> noise(std::size_t size, std::uint64_t seed) {
  auto random = base::Random::seeded(seed);
  std::vector<std::byte> bytes(size);
  for (auto& b : bytes) b = static_cast<std::byte>(random.next());
  return bytes;
}

TEST(Checksum, Rfc1071Example_GivesItsSum) {
  const auto bytes = hex("0001 f203 f4f5 f6f7");
  Checksum sum;
  sum.add(bytes);
  EXPECT_EQ(sum.fold(), 0xddf2);
  EXPECT_EQ(internet_checksum(bytes), 0x220d);
}

TEST(Checksum, EveryLengthAndAlignment_EqualsTheDefinition) {
  const auto bytes = noise(400, 1);
  for (std::size_t from = 0; from < 17; ++from) {
    for (std::size_t size = 0; from + size <= bytes.size(); ++size) {
      const auto piece = std::span(bytes).subspan(from, size);
      ASSERT_EQ(internet_checksum(piece), reference(piece)) << from << " " << size;
    }
  }
}

TEST(Checksum, AllOnes_DoesNotLoseCarries) {
  const std::vector<std::byte> bytes(65'535, std::byte{0xff});
  EXPECT_EQ(internet_checksum(bytes), reference(bytes));
}

TEST(Checksum, PiecesOfOddLength_EqualTheWhole) {
  const auto bytes = noise(301, 2);
  for (std::size_t first = 0; first < 150; first += 7) {
    Checksum sum;
    sum.add(std::span(bytes).first(first));
    sum.add(std::span(bytes).subspan(first, 75));
    sum.add(std::span(bytes).subspan(first + 75));
    ASSERT_EQ(sum.finish(), reference(bytes)) << first;
  }
}

TEST(Checksum, Verifies_OnlyIfNothingChanged) {
  auto bytes = hex("4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7");
  Checksum good;
  good.add(bytes);
  EXPECT_TRUE(good.verifies());
  bytes[3] ^= std::byte{1};
  Checksum bad;
  bad.add(bytes);
  EXPECT_FALSE(bad.verifies());
}

TEST(Checksum, UdpSumOfZero_IsSentAsAllOnes) {
  Checksum sum;
  sum.add(hex("ffff"));
  EXPECT_EQ(sum.finish(), 0);
  EXPECT_EQ(sum.finish_udp(), 0xffff);
}

TEST(Checksum, PseudoHeaderV4_CountsAddressesProtocolLength) {
  const auto literal = hex("c0a80001 c0a800c7 00 06 0014");
  const auto sum = pseudo_header(base::IpAddress::v4(192, 168, 0, 1),
                                 base::IpAddress::v4(192, 168, 0, 199), 6, 20);
  EXPECT_EQ(sum.finish(), reference(literal));
}

TEST(Checksum, PseudoHeaderV6_CountsAddressesLengthProtocol) {
  const auto literal =
      hex("fe800000000000000000000000000001 ff020000000000000000000000000002 00012345 0000003a");
  const auto sum =
      pseudo_header(*base::parse_ip("fe80::1"), *base::parse_ip("ff02::2"), 58, 0x12345);
  EXPECT_EQ(sum.finish(), reference(literal));
}

TEST(Checksum, Rfc1624Example_UpdatesToZero) {
  EXPECT_EQ(checksum_update(0xdd2f, 0x5555, 0x3285), 0x0000);
}

TEST(Checksum, Update32_EqualsRecomputing) {
  auto bytes = noise(40, 3);
  const std::uint16_t before = internet_checksum(bytes);
  const std::uint32_t old_word = base::load_be32(&bytes[8]);
  base::store_be32(&bytes[8], 0x12345678);
  EXPECT_EQ(checksum_update32(before, old_word, 0x12345678), internet_checksum(bytes));
}

}  // namespace
}  // namespace ringway::wire
