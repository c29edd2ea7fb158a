#include "tcp/flow_table.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "tcp/zeroed.h"

namespace ringway::tcp {
namespace {

using base::IpAddress;

TEST(FlowHash, IsTheSameFromBothEnds) {
  const IpAddress a = IpAddress::v4(10, 0, 0, 1);
  const IpAddress b = IpAddress::v4(10, 0, 0, 2);
  EXPECT_EQ(flow_hash(a, 80, b, 40'000), flow_hash(b, 40'000, a, 80));
  EXPECT_NE(flow_hash(a, 80, b, 40'000), flow_hash(a, 40'000, b, 80));
}

TEST(FlowHash, SpreadsPortsOfOnePair) {
  const IpAddress a = IpAddress::loopback_v4();
  std::set<std::uint32_t> buckets;
  for (std::uint32_t port = 0; port < 16'384; ++port) {
    const auto p = static_cast<std::uint16_t>(32'768 + port);
    buckets.insert(flow_hash(a, p, a, 6379) % 16'384);
  }
  EXPECT_GT(buckets.size(), 9'500U);  // random would fill 1 - 1/e of them: 10357
}

TEST(FlowTable, RandomLoad_AgreesWithAList) {
  const auto table = make_zeroed<FlowTable>();
  base::Random random = base::Random::seeded(3);
  std::vector<std::uint32_t> hash(3'000);
  std::set<std::uint32_t> in;
  for (int step = 0; step < 100'000; ++step) {
    const std::uint32_t index = 1 + random.below(2'999);
    if (in.contains(index)) {
      table->remove(hash[index], index);
      in.erase(index);
    } else {
      // Few homes, near the end of the table: long chains that wrap around.
      hash[index] = FlowTable::kBuckets - 8 + random.below(64) + random.below(4) * 0x1000'0000U;
      table->insert(hash[index], index);
      in.insert(index);
    }
    const std::uint32_t probe = 1 + random.below(2'999);
    const std::uint32_t found =
        table->find(hash[probe], [&](std::uint32_t i) { return i == probe; });
    ASSERT_EQ(found, in.contains(probe) ? probe : 0U);
  }
}

}  // namespace
}  // namespace ringway::tcp
