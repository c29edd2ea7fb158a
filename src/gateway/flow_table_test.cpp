#include "gateway/flow_table.h"

#include <gtest/gtest.h>

#include <memory>

namespace ringway::gateway {
namespace {

using steering::StackId;

FlowKey key(std::uint16_t remote_port) {
  return {{base::IpAddress::v4(10, 0, 0, 2), 80}, {base::IpAddress::v4(10, 0, 0, 1), remote_port}};
}

class FlowTableTest : public testing::Test {
 protected:
  std::unique_ptr<FlowTable> table_ = std::make_unique<FlowTable>();
};

TEST_F(FlowTableTest, Empty_KnowsNothing) { EXPECT_EQ(table_->find(key(1)), nullptr); }

TEST_F(FlowTableTest, Insert_FindsItByTheWholeKey) {
  const StackId stack{3, 1};
  table_->insert(key(1000), stack, 7);
  const Flow* flow = table_->find(key(1000));
  ASSERT_NE(flow, nullptr);
  EXPECT_EQ(flow->stack, stack);
  EXPECT_EQ(flow->generation, 7U);
  FlowKey other = key(1000);
  other.protocol = steering::Protocol::kUdp;
  EXPECT_EQ(table_->find(other), nullptr);
  EXPECT_EQ(table_->find(key(1001)), nullptr);
}

TEST_F(FlowTableTest, SetIsFull_TheOneNotUsedForLongestGoes) {
  std::vector<std::uint16_t> same_set;
  const std::uint32_t set = key(1).hash() % FlowTable::kSets;
  for (std::uint32_t port = 1; port < 65536 && same_set.size() <= FlowTable::kWays; ++port) {
    const auto candidate = static_cast<std::uint16_t>(port);
    if (key(candidate).hash() % FlowTable::kSets == set) same_set.push_back(candidate);
  }
  ASSERT_EQ(same_set.size(), FlowTable::kWays + 1);
  for (std::size_t i = 0; i < FlowTable::kWays; ++i) table_->insert(key(same_set[i]), {1, 1}, 1);
  ASSERT_NE(table_->find(key(same_set[0])), nullptr);  // now the latest
  table_->insert(key(same_set.back()), {2, 1}, 1);
  EXPECT_NE(table_->find(key(same_set[0])), nullptr);
  EXPECT_EQ(table_->find(key(same_set[1])), nullptr);
  EXPECT_NE(table_->find(key(same_set.back())), nullptr);
}

}  // namespace
}  // namespace ringway::gateway
