#include "steering/table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "base/sys.h"
#include "base/unique_fd.h"
#include "steering/table_writer.h"

namespace ringway::steering {
namespace {

using base::IpAddress;
using base::UniqueFd;

const IpAddress kAddressA = IpAddress::v4(10, 0, 0, 1);
const IpAddress kAddressB = IpAddress::v4(10, 0, 0, 2);
const IpAddress kFar = IpAddress::v4(192, 0, 2, 1);

Host host(std::string_view name, const IpAddress& v4, std::uint8_t last) {
  Host h;
  set_text(h.name, name);
  h.ipv4 = v4;
  h.ipv6 = IpAddress{{0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last}};
  return h;
}

class TableTest : public testing::Test {
 protected:
  TableTest()
      : file_(base::sys::memfd_create("table", 0)),
        writer_(*TableWriter::create(file_.get(), Network{}, 42)),
        table_(*Table::attach(file_.get())) {
    a_ = *writer_.add_host(host("alpha", kAddressA, 1));
    b_ = *writer_.add_host(host("beta", kAddressB, 2));
  }

  StackId stack(HostIndex on, std::int32_t pid = 1) {
    Stack s;
    s.host = on;
    s.pid = pid;
    return *writer_.add_stack(s);
  }
  static ListenKey any(std::uint16_t port) { return {Protocol::kTcp, port, Scope::kAny, {}}; }
  static ListenKey at(const IpAddress& address, std::uint16_t port) {
    return {Protocol::kTcp, port, Scope::kSpecific, address};
  }
  std::optional<StackId> to(const IpAddress& address, std::uint16_t port, std::uint32_t hash = 0,
                            HostIndex from = kNoHost) {
    return table_.lookup(address, Protocol::kTcp, port, hash, from);
  }
  int lease_errno(StackId id, const ListenKey& key, std::uint8_t flags = 0) {
    const auto leased = writer_.lease_listen(id, key, flags);
    return leased ? 0 : leased.error().os_errno;
  }

  UniqueFd file_;
  TableWriter writer_;
  Table table_;
  HostIndex a_ = 0;
  HostIndex b_ = 0;
};

TEST_F(TableTest, FindHost_ByAddressAndName) {
  EXPECT_EQ(table_.find_host(kAddressA), a_);
  EXPECT_EQ(table_.find_host(host("", kAddressB, 2).ipv6), b_);
  EXPECT_EQ(table_.find_host("beta"), b_);
  EXPECT_EQ(table_.find_host(IpAddress::v4(127, 9, 8, 7)), kLocalhost);
  EXPECT_EQ(table_.find_host(IpAddress::loopback_v6()), kLocalhost);
  EXPECT_EQ(table_.find_host(kFar), std::nullopt);
  EXPECT_EQ(table_.find_host("gamma"), std::nullopt);
}

TEST_F(TableTest, Lookup_BoundToAny_FoundAtItsHostAndAtLocalhost) {
  const auto s = stack(a_);
  ASSERT_EQ(lease_errno(s, any(80)), 0);
  EXPECT_EQ(to(kAddressA, 80), s);
  EXPECT_EQ(to(host("", kAddressA, 1).ipv6, 80), s);
  EXPECT_EQ(to(IpAddress::loopback_v4(), 80), s);
  EXPECT_EQ(to(IpAddress::loopback_v6(), 80), s);
  EXPECT_EQ(to(IpAddress::any_v4(), 80), s);
  EXPECT_EQ(to(kAddressB, 80), std::nullopt);
  EXPECT_EQ(to(kAddressA, 81), std::nullopt);
  EXPECT_EQ(table_.lookup(kAddressA, Protocol::kUdp, 80, 0), std::nullopt);
}

TEST_F(TableTest, Lookup_BoundToLocalhost_NotFoundAtTheHostsAddress) {
  const auto s = stack(a_);
  ASSERT_EQ(lease_errno(s, at(IpAddress::loopback_v4(), 80)), 0);
  EXPECT_EQ(to(IpAddress::loopback_v4(), 80), s);
  EXPECT_EQ(to(IpAddress::v4(127, 0, 0, 2), 80), std::nullopt);
  EXPECT_EQ(to(IpAddress::loopback_v6(), 80), std::nullopt);
  EXPECT_EQ(to(kAddressA, 80), std::nullopt);
}

TEST_F(TableTest, Lookup_TwoHostsWithAny_LocalhostPrefersTheCallersHostThenTheFirst) {
  const auto on_a = stack(a_);
  const auto on_b = stack(b_);
  ASSERT_EQ(lease_errno(on_a, any(80)), 0);
  ASSERT_EQ(lease_errno(on_b, any(80)), 0);
  EXPECT_EQ(to(kAddressA, 80), on_a);
  EXPECT_EQ(to(kAddressB, 80), on_b);
  for (std::uint32_t hash = 0; hash < 16; ++hash) {
    EXPECT_EQ(to(IpAddress::loopback_v4(), 80, hash), on_a);
    EXPECT_EQ(to(IpAddress::loopback_v4(), 80, hash, b_), on_b);
  }
}

TEST_F(TableTest, Lookup_SpecificAddress_WinsOverAnyOfAnotherSharer) {
  const auto general = stack(a_);
  const auto special = stack(a_);
  ASSERT_EQ(lease_errno(general, any(80), kEntryReusePort | kEntryActive), 0);
  ASSERT_EQ(lease_errno(special, at(kAddressA, 80), kEntryReusePort), 0);
  EXPECT_EQ(to(kAddressA, 80), special);
  EXPECT_EQ(to(IpAddress::loopback_v4(), 80), general);
}

TEST_F(TableTest, Lookup_SeveralHolders_SpreadsOverTheActive) {
  std::map<std::uint32_t, int> hits;
  std::vector<StackId> holders;
  for (int i = 0; i < 4; ++i) {
    holders.push_back(stack(a_));
    ASSERT_EQ(lease_errno(holders.back(), any(80), kEntryReusePort), 0);
  }
  for (std::uint32_t hash = 0; hash < 4000; ++hash) ++hits[to(kAddressA, 80, hash)->raw()];
  ASSERT_EQ(hits.size(), 4U);
  for (const auto& [id, count] : hits) EXPECT_GT(count, 800);

  ASSERT_TRUE(writer_.set_active(holders[2], any(80), true));
  for (std::uint32_t hash = 0; hash < 100; ++hash) EXPECT_EQ(to(kAddressA, 80, hash), holders[2]);
  ASSERT_TRUE(writer_.set_active(holders[2], any(80), false));
  EXPECT_EQ(*to(kAddressA, 80, 7), *to(kAddressA, 80, 7));
}

TEST_F(TableTest, LeaseListen_Overlapping_IsRefused) {
  const auto one = stack(a_);
  const auto two = stack(a_);
  const ListenKey v4{Protocol::kTcp, 80, Scope::kAnyV4, {}};
  const ListenKey v6{Protocol::kTcp, 80, Scope::kAnyV6, {}};
  ASSERT_EQ(lease_errno(one, v4), 0);
  EXPECT_EQ(lease_errno(two, v4), EADDRINUSE);
  EXPECT_EQ(lease_errno(two, any(80)), EADDRINUSE);
  EXPECT_EQ(lease_errno(two, at(kAddressA, 80)), EADDRINUSE);
  EXPECT_EQ(lease_errno(two, at(IpAddress::loopback_v4(), 80)), EADDRINUSE);
  EXPECT_EQ(lease_errno(two, any(80), kEntryReusePort), EADDRINUSE);
  EXPECT_EQ(lease_errno(two, v6), 0);
  EXPECT_EQ(lease_errno(two, at(kAddressB, 81)), EADDRNOTAVAIL);
  EXPECT_EQ(lease_errno(two, at(kFar, 81)), EADDRNOTAVAIL);
  EXPECT_EQ(lease_errno(StackId{77, 1}, any(81)), ENOENT);
}

TEST_F(TableTest, LeaseListen_LocalhostAddress_IsOneForAllHosts) {
  const auto one = stack(a_);
  const auto two = stack(b_);
  ASSERT_EQ(lease_errno(one, at(IpAddress::loopback_v4(), 80)), 0);
  EXPECT_EQ(lease_errno(two, at(IpAddress::loopback_v4(), 80)), EADDRINUSE);
  EXPECT_EQ(lease_errno(two, any(80)), 0);
  EXPECT_EQ(to(IpAddress::loopback_v4(), 80), one);
}

TEST_F(TableTest, LeaseListen_Shared_OnlyWithinOneProcess) {
  const auto one = stack(a_, 100);
  const auto same = stack(a_, 100);
  const auto other = stack(a_, 101);
  ASSERT_EQ(lease_errno(one, any(80), kEntryShared), 0);
  EXPECT_EQ(lease_errno(same, any(80), kEntryShared), 0);
  EXPECT_EQ(lease_errno(other, any(80), kEntryShared), EADDRINUSE);
}

TEST_F(TableTest, LeaseListen_PortZero_ChoosesDifferentFreePorts) {
  const auto s = stack(a_);
  std::set<std::uint16_t> ports;
  for (int i = 0; i < 100; ++i) ports.insert(*writer_.lease_listen(s, any(0), 0));
  EXPECT_EQ(ports.size(), 100U);
  for (const auto port : ports) EXPECT_EQ(to(kAddressA, port), s);
}

TEST_F(TableTest, LeaseListen_TableFull_IsRefusedAndRecovers) {
  const auto s = stack(a_);
  std::uint32_t leased = 0;
  while (writer_.lease_listen(s, any(static_cast<std::uint16_t>(1 + leased)), 0)) ++leased;
  EXPECT_EQ(leased, kMaxEntries);
  EXPECT_EQ(lease_errno(s, any(60000)), ENOSPC);
  ASSERT_TRUE(writer_.release_listen(s, any(17)));
  EXPECT_EQ(lease_errno(s, any(60000)), 0);
}

TEST_F(TableTest, ReleaseListen_MiddleOfTheChain_KeepsTheOthers) {
  std::vector<StackId> holders;
  for (int i = 0; i < 3; ++i) {
    holders.push_back(stack(a_));
    ASSERT_EQ(lease_errno(holders.back(), any(80), kEntryReusePort), 0);
  }
  ASSERT_TRUE(writer_.release_listen(holders[1], any(80)));
  EXPECT_EQ(writer_.release_listen(holders[1], any(80)).error().os_errno, ENOENT);
  std::set<std::uint32_t> found;
  for (std::uint32_t hash = 0; hash < 100; ++hash) found.insert(to(kAddressA, 80, hash)->raw());
  EXPECT_EQ(found, (std::set<std::uint32_t>{holders[0].raw(), holders[2].raw()}));
}

TEST_F(TableTest, CloneListen_ChildJoinsWhateverTheFlags) {
  const auto parent = stack(a_, 1);
  const auto child = stack(a_, 2);
  ASSERT_EQ(lease_errno(parent, any(80), kEntryActive), 0);
  ASSERT_TRUE(writer_.clone_listen(child, parent, any(80)));
  EXPECT_EQ(writer_.clone_listen(child, parent, any(81)).error().os_errno, ENOENT);
  EXPECT_EQ(to(kAddressA, 80), parent);
  ASSERT_TRUE(writer_.set_active(parent, any(80), false));
  ASSERT_TRUE(writer_.set_active(child, any(80), true));
  EXPECT_EQ(to(kAddressA, 80), child);
  writer_.remove_stack(parent);
  EXPECT_EQ(to(kAddressA, 80), child);
}

TEST_F(TableTest, Ephemeral_BlockLeadsToItsStack) {
  const auto s = stack(a_);
  const auto block = *writer_.lease_ephemeral(s, Protocol::kTcp);
  EXPECT_EQ(block.count, 512);
  EXPECT_EQ(to(kAddressA, block.first), s);
  EXPECT_EQ(to(IpAddress::loopback_v4(), static_cast<std::uint16_t>(block.first + 511)), s);
  EXPECT_EQ(to(kAddressB, block.first), std::nullopt);
  EXPECT_EQ(table_.lookup(kAddressA, Protocol::kUdp, block.first, 0), std::nullopt);
  const auto other = stack(a_);
  EXPECT_EQ(lease_errno(other, any(block.first)), EADDRINUSE);
  EXPECT_EQ(lease_errno(s, any(block.first)), 0);
  ASSERT_TRUE(writer_.release_listen(s, any(block.first)));
  ASSERT_TRUE(writer_.release_ephemeral(s, Protocol::kTcp, block));
  EXPECT_EQ(to(kAddressA, block.first), std::nullopt);
  EXPECT_EQ(writer_.release_ephemeral(s, Protocol::kTcp, block).error().os_errno, ENOENT);
  EXPECT_EQ(writer_.release_ephemeral(s, Protocol::kTcp, {65472, 128}).error().os_errno, EINVAL);
}

TEST_F(TableTest, Ephemeral_Exhausted_ShrinksThenRefusesThenRecovers) {
  std::set<std::uint16_t> firsts;
  std::uint32_t ports = 0;
  StackId last;
  for (;;) {
    last = stack(a_);
    const auto block = writer_.lease_ephemeral(last, Protocol::kUdp);
    if (!block) {
      EXPECT_EQ(block.error().os_errno, EADDRNOTAVAIL);
      break;
    }
    EXPECT_TRUE(firsts.insert(block->first).second);
    ports += block->count;
  }
  EXPECT_EQ(ports, kPorts - kEphemeralFirst);
  EXPECT_GT(firsts.size(), 400U);
  writer_.remove_stack(*table_.lookup(kAddressA, Protocol::kUdp, 65535, 0));
  EXPECT_TRUE(writer_.lease_ephemeral(last, Protocol::kUdp));
}

TEST_F(TableTest, Ephemeral_GranuleWithAListener_IsPassedOver) {
  const auto listener = stack(a_);
  ASSERT_EQ(lease_errno(listener, any(65500)), 0);
  const auto block = *writer_.lease_ephemeral(stack(a_), Protocol::kTcp);
  EXPECT_LT(block.first + block.count, 65500);
}

TEST_F(TableTest, Holds_ListenersAndEphemeralBlocksOfTheStackItself) {
  const auto one = stack(a_);
  const auto other = stack(a_);
  ASSERT_EQ(lease_errno(one, any(80)), 0);
  const auto block = *writer_.lease_ephemeral(one, Protocol::kTcp);
  EXPECT_TRUE(table_.holds(one, kAddressA, Protocol::kTcp, 80));
  EXPECT_TRUE(table_.holds(one, kAddressA, Protocol::kTcp, block.first));
  EXPECT_FALSE(table_.holds(one, kAddressA, Protocol::kUdp, 80));
  EXPECT_FALSE(table_.holds(one, kFar, Protocol::kTcp, 80));
  EXPECT_FALSE(table_.holds(other, kAddressA, Protocol::kTcp, 80));
  EXPECT_FALSE(table_.holds(other, kAddressA, Protocol::kTcp, block.first));
  writer_.remove_stack(one);
  EXPECT_FALSE(table_.holds(one, kAddressA, Protocol::kTcp, 80));
}

TEST_F(TableTest, Gateway_TakesAddressesThatNobodyOwns) {
  EXPECT_EQ(to(kFar, 80), std::nullopt);
  Stack s;
  s.host = a_;
  s.gateway = 1;
  const auto gateway = *writer_.add_stack(s);
  EXPECT_EQ(to(kFar, 80), gateway);
  EXPECT_EQ(to(IpAddress::v4(10, 0, 0, 99), 80), gateway);
  EXPECT_EQ(to(kAddressA, 80), std::nullopt);
  EXPECT_EQ(to(IpAddress::v4(224, 0, 0, 1), 80), std::nullopt);
  EXPECT_EQ(writer_.add_stack(s).error().os_errno, EEXIST);
  writer_.remove_stack(gateway);
  EXPECT_EQ(to(kFar, 80), std::nullopt);
}

TEST_F(TableTest, RemoveStack_EverythingGoes_NumberComesBackWithAnotherGeneration) {
  const auto s = stack(a_);
  ASSERT_EQ(lease_errno(s, any(80)), 0);
  const auto block = *writer_.lease_ephemeral(s, Protocol::kTcp);
  const auto before = table_.generation();
  writer_.remove_stack(s);
  EXPECT_NE(table_.generation(), before);
  EXPECT_EQ(to(kAddressA, 80), std::nullopt);
  EXPECT_EQ(to(kAddressA, block.first), std::nullopt);
  EXPECT_EQ(table_.host_of_stack(s), std::nullopt);
  StackId again = stack(a_);
  while (again.index != s.index) {
    writer_.remove_stack(again);
    again = stack(a_);
  }
  EXPECT_NE(again.generation, s.generation);
  EXPECT_EQ(table_.host_of_stack(s), std::nullopt);
  EXPECT_EQ(table_.host_of_stack(again), a_);
}

TEST_F(TableTest, Hosts_NameTakenOrInUse_IsRefused) {
  EXPECT_EQ(writer_.add_host(host("alpha", kFar, 9)).error().os_errno, EEXIST);
  const auto s = stack(b_);
  EXPECT_EQ(writer_.remove_host(b_).error().os_errno, EBUSY);
  EXPECT_EQ(writer_.remove_host(kLocalhost).error().os_errno, EINVAL);
  writer_.remove_stack(s);
  EXPECT_TRUE(writer_.remove_host(b_));
  EXPECT_EQ(table_.find_host("beta"), std::nullopt);
}

TEST_F(TableTest, Reopen_KeepsEverything) {
  const auto s = stack(a_);
  const auto t = stack(a_);
  ASSERT_EQ(lease_errno(s, any(80), kEntryReusePort | kEntryActive), 0);
  ASSERT_EQ(lease_errno(t, any(80), kEntryReusePort), 0);
  const auto block = *writer_.lease_ephemeral(s, Protocol::kTcp);
  const auto before = table_.generation();
  writer_ = *TableWriter::reopen(file_.get());
  EXPECT_GT(table_.generation(), before);
  EXPECT_EQ(to(kAddressA, 80), s);
  EXPECT_EQ(to(kAddressA, block.first), s);
  EXPECT_EQ(lease_errno(stack(a_), any(80)), EADDRINUSE);
  EXPECT_NE(*writer_.lease_ephemeral(t, Protocol::kTcp).map(&PortBlock::first), block.first);
  EXPECT_EQ(writer_.living_stacks(), 3U);
}

TEST_F(TableTest, Reopen_WriterDiedInTheMiddle_ChainsAreLaidAnew) {
  const auto s = stack(a_);
  ASSERT_EQ(lease_errno(s, any(80), kEntryReusePort), 0);
  UniqueFd raw = file_.duplicate();
  // A head that leads nowhere sane and an odd sequence, as a writer could leave them.
  const std::uint32_t wild = 0xfffffff0;
  const std::uint64_t odd = 12345;
  ASSERT_EQ(::pwrite(raw.get(), &wild, 4, offsetof(TableLayout, heads) + 80 * 4), 4);
  ASSERT_EQ(::pwrite(raw.get(), &odd, 8, offsetof(Header, sequence)), 8);
  EXPECT_EQ(to(kAddressA, 80), std::nullopt);
  writer_ = *TableWriter::reopen(file_.get());
  EXPECT_EQ(to(kAddressA, 80), s);
  EXPECT_EQ(table_.generation(), (odd + 1) / 2);
}

TEST_F(TableTest, Lookup_ChainBentIntoARing_Ends) {
  const auto s = stack(a_);
  ASSERT_EQ(lease_errno(s, any(80)), 0);
  Entry entry = *table_.entry(0);
  entry.next = 1;
  ASSERT_EQ(::pwrite(file_.get(), &entry, sizeof entry, offsetof(TableLayout, entries)),
            static_cast<ssize_t>(sizeof entry));
  EXPECT_EQ(to(kAddressA, 80), s);
}

TEST(Table, Attach_WrongFile_IsRefused) {
  UniqueFd empty(base::sys::memfd_create("empty", 0));
  EXPECT_FALSE(Table::attach(empty.get()));
  ASSERT_EQ(base::sys::ftruncate(empty.get(), sizeof(TableLayout)), 0);
  EXPECT_FALSE(Table::attach(empty.get()));
  EXPECT_FALSE(TableWriter::reopen(empty.get()));
  EXPECT_FALSE(Table::attach(-1));
}

// A port moves between two stacks; a reader never sees it at nobody's, and never at a third's.
TEST_F(TableTest, Lookup_WhileTheWriterMovesAPort_SeesOneOwnerOrTheOther) {
  const auto one = stack(a_);
  const auto two = stack(a_);
  ASSERT_EQ(lease_errno(one, any(80), kEntryReusePort), 0);
  std::atomic<bool> stop{false};
  std::thread mover([&] {
    while (!stop.load()) {
      (void)writer_.lease_listen(two, any(80), kEntryReusePort);
      (void)writer_.release_listen(one, any(80));
      (void)writer_.lease_listen(one, any(80), kEntryReusePort);
      (void)writer_.release_listen(two, any(80));
    }
  });
  for (std::uint32_t i = 0; i < 20000; ++i) {
    const auto found = to(kAddressA, 80, i);
    ASSERT_TRUE(found == one || found == two);
  }
  stop.store(true);
  mover.join();
}

}  // namespace
}  // namespace ringway::steering
