#include "mem/pool_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

#include "mem/arena.h"

namespace ringway::mem {
namespace {

TEST(PoolMemory, OtherMapping_SeesTheFrames) {
  auto memory = PoolMemory::create("pool-test", 3, 2048);
  ASSERT_TRUE(memory) << memory.error().what;
  FramePool& pool = (*memory)->pool();
  ASSERT_EQ(pool.size(), 3U);
  EXPECT_EQ(pool.free_count(), 3U);
  static_cast<void>(pool.allocate());
  const std::uint32_t slot = pool.allocate();
  std::memcpy(pool.data(slot), "frame", 6);
  const auto size = check_sealed((*memory)->fd());
  ASSERT_TRUE(size) << "whoever gets it can rely on its size";
  void* at = ::mmap(nullptr, *size, PROT_READ, MAP_SHARED, (*memory)->fd(), 0);
  ASSERT_NE(at, MAP_FAILED);
  EXPECT_STREQ(static_cast<const char*>(at) + std::size_t{slot} * 2048, "frame");
  ::munmap(at, *size);
}

TEST(PoolMemory, OddSizes_AreRefused) {
  EXPECT_FALSE(PoolMemory::create("pool-test", 0));
  EXPECT_FALSE(PoolMemory::create("pool-test", 1, 3000));
  EXPECT_FALSE(PoolMemory::create("pool-test", 1, 1024));
  EXPECT_FALSE(PoolMemory::create("pool-test", FrameRef::kMaxSlots + 1));
}

}  // namespace
}  // namespace ringway::mem
