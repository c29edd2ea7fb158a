#include "mem/byte_queue.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "base/random.h"

namespace ringway::mem {
namespace {

class ByteQueueTest : public testing::Test {
 protected:
  static constexpr std::uint32_t kFrames = 64;

  ByteQueueTest() {
    state_.slot_size = 4096;
    state_.slot_count = kFrames;
    pool_ = FramePool(&state_, memory_.data());
    EXPECT_EQ(pool_.allocate(), 0U);  // slot 0 of Region 0 stays unused
    regions_.set(0, pool_.view());
    buffers_ = {cells_.get(), &pool_, &regions_};
  }
  ~ByteQueueTest() override {
    EXPECT_EQ(pool_.free_count(), kFrames - 1);
    EXPECT_EQ(cells_->in_use(), 0U);
  }
  static std::vector<std::byte> pattern(std::size_t n, unsigned start = 0) {
    std::vector<std::byte> v(n);
    for (std::size_t i = 0; i < n; ++i) v[i] = static_cast<std::byte>((start + i) * 7 % 251);
    return v;
  }

  std::vector<std::byte> memory_ = std::vector<std::byte>(kFrames * 4096);
  FramePoolState state_{};
  FramePool pool_;
  std::unique_ptr<CellSlab> cells_ = std::make_unique<CellSlab>();
  RegionTable regions_;
  Buffers buffers_;
};

TEST_F(ByteQueueTest, SmallAppends_ShareOneCell) {
  ByteQueue q;
  for (unsigned i = 0; i < 10; ++i) EXPECT_EQ(q.append(buffers_, pattern(20, i * 20)), 20U);
  EXPECT_EQ(cells_->in_use(), 1U);
  std::vector<std::byte> out(300);
  EXPECT_EQ(q.read(buffers_, out), 200U);
  out.resize(200);
  EXPECT_EQ(out, pattern(200));
  EXPECT_TRUE(q.empty());
}

TEST_F(ByteQueueTest, PeekAndDrop_AgreeWithRead) {
  ByteQueue q;
  EXPECT_EQ(q.append(buffers_, pattern(10'000)), 10'000U);
  std::vector<std::byte> out(777);
  EXPECT_EQ(q.peek(buffers_, 5'000, out), 777U);
  const auto all = pattern(10'000);
  EXPECT_TRUE(std::equal(out.begin(), out.end(), all.begin() + 5'000));
  q.drop(buffers_, 9'900);
  EXPECT_EQ(q.bytes, 100U);
  EXPECT_EQ(q.read(buffers_, out), 100U);
  EXPECT_TRUE(std::equal(out.begin(), out.begin() + 100, all.begin() + 9'900));
}

TEST_F(ByteQueueTest, FramesRunOut_FallsBackToCellsAndKeepsOrder) {
  ByteQueue q;
  const auto data = pattern(kFrames * 4096 + 5'000);
  EXPECT_EQ(q.append(buffers_, data), data.size());
  std::vector<std::byte> out(data.size());
  EXPECT_EQ(q.read(buffers_, out), data.size());
  EXPECT_EQ(out, data);
}

TEST_F(ByteQueueTest, RandomOperations_MatchAModel) {
  base::Random random = base::Random::seeded(42);
  ByteQueue q;
  std::vector<std::byte> model;
  for (int step = 0; step < 5'000; ++step) {
    const auto n = random.below(random.below(8) == 0 ? 9'000 : 300);
    if (random.below(2) == 0 && model.size() < 100'000) {
      const auto data = pattern(n, random.below(1000));
      ASSERT_EQ(q.append(buffers_, data), n);
      model.insert(model.end(), data.begin(), data.end());
    } else {
      std::vector<std::byte> out(n);
      const auto got = q.read(buffers_, out);
      ASSERT_EQ(got, std::min<std::size_t>(n, model.size()));
      ASSERT_TRUE(std::equal(out.begin(), out.begin() + got, model.begin()));
      model.erase(model.begin(), model.begin() + got);
    }
    ASSERT_EQ(q.bytes, model.size());
  }
  q.clear(buffers_);
}

}  // namespace
}  // namespace ringway::mem
