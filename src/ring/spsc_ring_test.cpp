#include "ring/spsc_ring.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

namespace ringway::ring {
namespace {

using Ring = SpscRing<std::uint32_t, 8>;

TEST(SpscRing, PushTakesAPrefixAndPopKeepsTheOrder) {
  auto ring = std::make_unique<Ring>();
  const std::vector<std::uint32_t> items{1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  EXPECT_EQ(ring->push(items), 8U);
  EXPECT_EQ(ring->push(items), 0U);
  std::vector<std::uint32_t> out(5);
  EXPECT_EQ(ring->pop(out), 5U);
  EXPECT_EQ(out, (std::vector<std::uint32_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(ring->push(items), 5U);
  out.resize(20);
  EXPECT_EQ(ring->pop(out), 8U);
  EXPECT_EQ(out[3], 1U);
}

TEST(SpscRing, TwoThreads_EveryItemArrivesInOrder) {
  auto ring = std::make_unique<SpscRing<std::uint32_t, 256>>();
  constexpr std::uint32_t kCount = 1'000'000;
  std::thread producer([&] {
    for (std::uint32_t i = 0; i < kCount;) {
      const std::uint32_t item[] = {i};
      if (ring->push(item) == 1) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
  });
  std::uint32_t expected = 0;
  std::vector<std::uint32_t> out(32);
  while (expected < kCount) {
    const auto n = ring->pop(out);
    if (n == 0) std::this_thread::yield();
    for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(out[i], expected++);
  }
  producer.join();
}

}  // namespace
}  // namespace ringway::ring
