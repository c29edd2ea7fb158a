#include "base/bytes.h"

#include <gtest/gtest.h>

#include <vector>

namespace ringway::base {
namespace {

TEST(CopySmall, EveryLength_CopiesExactlyThat) {
  for (std::size_t n = 0; n <= 260; ++n) {
    std::vector<std::byte> from(n);
    for (std::size_t i = 0; i < n; ++i) from[i] = static_cast<std::byte>(i * 7 + 1);
    std::vector<std::byte> to(n + 1, std::byte{0xee});
    copy_small(to.data(), from.data(), n);
    EXPECT_TRUE(std::equal(from.begin(), from.end(), to.begin())) << n;
    EXPECT_EQ(to[n], std::byte{0xee}) << n;
  }
}

TEST(Bytes, NetworkOrder_RoundTrips) {
  std::byte b[8];
  store_be64(b, 0x0102030405060708U);
  EXPECT_EQ(b[0], std::byte{1});
  EXPECT_EQ(load_be64(b), 0x0102030405060708U);
  EXPECT_EQ(load_be32(b), 0x01020304U);
  EXPECT_EQ(load_be16(b + 6), 0x0708U);
}

}  // namespace
}  // namespace ringway::base
