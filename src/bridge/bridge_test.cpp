#include "bridge/bridge.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "base/random.h"
#include "bridge/segment.h"
#include "driver/loop/loop.h"
#include "port/test_pool.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/packet_view.h"
#include "wire/tcp.h"

namespace ringway::bridge {
namespace {

using base::Instant;
using base::MacAddress;
using Bytes = std::vector<std::byte>;

MacAddress station(int n) { return {{0x02, 0, 0, 0, 1, static_cast<std::uint8_t>(n)}}; }

Bytes frame_of(const MacAddress& dst, const MacAddress& src, int vlan = 0, std::size_t size = 60) {
  Bytes bytes(size + (vlan != 0 ? 4 : 0), std::byte{0x5a});
  wire::EthernetHeader{dst, src, vlan != 0 ? wire::EtherType::kVlan : wire::EtherType::kArp}.emit(
      bytes.data());
  if (vlan != 0) {
    wire::VlanTag{.id = static_cast<std::uint16_t>(vlan), .type = wire::EtherType::kArp}.emit(
        &bytes[14]);
  }
  return bytes;
}

/// The far end of a member, as a station's NIC sees it.
struct Far {
  std::unique_ptr<port::TestPool> own = std::make_unique<port::TestPool>();
  std::unique_ptr<port::TestPool> members = std::make_unique<port::TestPool>(512);
  std::unique_ptr<port::Port> port;
};

class BridgeTest : public testing::Test {
 protected:
  BridgeTest() { bridge_->advance(Instant{now_ns_}); }
  ~BridgeTest() override { bridge_.reset(); }  // its frames are of the far ends' pools

  void join(const MemberOptions& options = {}, const char* spec = "loop:") {
    Far far;
    auto [near, away] = driver::open_loop(*driver::LoopOptions::parse(*port::Spec::parse(spec)),
                                          far.members->pool(), far.own->pool());
    far.port = std::move(away);
    // All loops have one name; a bridge tells its members by theirs.
    ASSERT_TRUE(bridge_->add(std::make_unique<Named>(std::move(near), names_++),
                             far.members->pool(), nullptr, options));
    fars_.push_back(std::move(far));
  }
  void send(std::size_t from, const Bytes& bytes) {
    const mem::FrameDesc desc = fars_[from].own->frame(bytes);
    ASSERT_EQ(fars_[from].port->tx_burst({&desc, 1}), 1U);
  }
  /// Lets the bridge work; what is for the hosts.
  std::vector<Bytes> turn() {
    std::vector<Bytes> all;
    std::array<mem::FrameDesc, 64> burst;
    for (int i = 0; i < 4; ++i) {
      bridge_->advance(Instant{now_ns_ += 1000});
      const std::size_t n = bridge_->rx_burst(burst);
      for (std::size_t j = 0; j < n; ++j) all.push_back(hosts_.take({&burst[j], 1}));
    }
    return all;
  }
  std::vector<Bytes> received(std::size_t at) {
    std::vector<Bytes> all;
    std::array<mem::FrameDesc, 256> burst;
    const std::size_t n = fars_[at].port->rx_burst(burst);
    for (std::size_t i = 0; i < n; ++i) all.push_back(fars_[at].own->take({&burst[i], 1}));
    return all;
  }
  void send_from_hosts(const Bytes& bytes, const mem::FrameDesc& known = {}) {
    mem::FrameDesc desc = hosts_.frame(bytes);
    desc.flags = known.flags;
    desc.gso_size = known.gso_size;
    desc.l4_offset = known.l4_offset;
    ASSERT_EQ(bridge_->tx_burst({&desc, 1}), 1U);
  }

  /// A port under another name.
  class Named final : public port::Port {
   public:
    Named(std::unique_ptr<port::Port> inner, int number)
        : inner_(std::move(inner)), name_("p" + std::to_string(number)), caps_(inner_->caps()) {
      caps_.mac = {{0x02, 0, 0, 0, 9, static_cast<std::uint8_t>(number)}};
    }
    std::string_view name() const override { return name_; }
    const port::Caps& caps() const override { return caps_; }
    std::size_t rx_burst(std::span<mem::FrameDesc> out) override { return inner_->rx_burst(out); }
    std::size_t tx_burst(std::span<const mem::FrameDesc> in) override {
      return inner_->tx_burst(in);
    }
    std::size_t reclaim() override { return inner_->reclaim(); }
    base::Result<int> arm() override { return inner_->arm(); }

   private:
    std::unique_ptr<port::Port> inner_;
    std::string name_;
    port::Caps caps_;
  };

  port::TestPool hosts_{64, 65535};
  std::unique_ptr<Bridge> bridge_ = std::make_unique<Bridge>(hosts_.pool());
  std::vector<Far> fars_;
  std::int64_t now_ns_ = 1'000'000'000;
  int names_ = 0;
};

TEST_F(BridgeTest, Unknown_IsFloodedUntilItIsLearnt) {
  for (int i = 0; i < 3; ++i) join();
  send(0, frame_of(station(2), station(1)));
  EXPECT_TRUE(turn().empty());  // a station that is not ours is not for the hosts
  EXPECT_EQ(received(1).size(), 1U);
  EXPECT_EQ(received(2).size(), 1U);
  EXPECT_EQ(received(0).size(), 0U);
  send(1, frame_of(station(1), station(2)));
  turn();
  EXPECT_EQ(received(0).size(), 1U);
  EXPECT_EQ(received(2).size(), 0U);
  send(0, frame_of(station(2), station(1)));
  turn();
  EXPECT_EQ(received(1).size(), 1U);
  EXPECT_EQ(received(2).size(), 0U);
  EXPECT_EQ(bridge_->counts().get(Count::kForwarded), 2U);
}

TEST_F(BridgeTest, StationThatMoves_IsFollowed) {
  for (int i = 0; i < 3; ++i) join();
  send(0, frame_of(station(9), station(1)));
  turn();
  send(1, frame_of(station(9), station(1)));
  turn();
  for (std::size_t i = 0; i < 3; ++i) received(i);
  send(2, frame_of(station(1), station(3)));
  turn();
  EXPECT_EQ(received(0).size(), 0U);
  EXPECT_EQ(received(1).size(), 1U);
}

TEST_F(BridgeTest, BroadcastGoesToAllAndToTheHosts) {
  for (int i = 0; i < 3; ++i) join();
  const auto frame = frame_of(MacAddress::broadcast(), station(1));
  send(0, frame);
  const auto hosts = turn();
  ASSERT_EQ(hosts.size(), 1U);
  EXPECT_EQ(hosts[0], frame);
  EXPECT_EQ(received(1), std::vector<Bytes>{frame});
  EXPECT_EQ(received(2), std::vector<Bytes>{frame});
}

TEST_F(BridgeTest, HostsAreReachedThroughEveryMember) {
  join();
  join();
  for (std::size_t from : {0U, 1U}) {
    for (int mac : {0, 1}) {
      send(from, frame_of({{0x02, 0, 0, 0, 9, static_cast<std::uint8_t>(mac)}}, station(1)));
      EXPECT_EQ(turn().size(), 1U);
    }
  }
  EXPECT_EQ(received(0).size() + received(1).size(), 0U);
}

TEST_F(BridgeTest, HostsFrames_GoWhereTheStationIs) {
  join();
  join();
  send_from_hosts(frame_of(station(1), {{0x02, 0, 0, 0, 9, 0}}));
  EXPECT_EQ(received(0).size(), 1U);  // not known yet: both
  EXPECT_EQ(received(1).size(), 1U);
  send(1, frame_of({{0x02, 0, 0, 0, 9, 0}}, station(1)));
  turn();
  send_from_hosts(frame_of(station(1), {{0x02, 0, 0, 0, 9, 0}}));
  EXPECT_EQ(received(0).size(), 0U);
  EXPECT_EQ(received(1).size(), 1U);
}

TEST_F(BridgeTest, Storm_IsCutAndKnownTrafficIsNot) {
  join({.vlan = 0, .storm = 100});
  join();
  send(1, frame_of(station(9), station(2)));
  turn();
  received(0);
  for (int i = 0; i < 200; ++i) {
    send(0, frame_of(MacAddress::broadcast(), station(1)));
    turn();
  }
  EXPECT_LE(received(1).size(), 12U);
  EXPECT_GE(bridge_->counts().get(Count::kDropStorm), 188U);
  send(0, frame_of(station(2), station(1)));
  turn();
  EXPECT_EQ(received(1).size(), 1U);
}

TEST_F(BridgeTest, AccessMember_HasItsVlanWithoutTags) {
  join();             // a trunk
  join({.vlan = 7});  // access
  join({.vlan = 8});
  const auto plain = frame_of(MacAddress::broadcast(), station(2));
  send(1, plain);
  EXPECT_TRUE(turn().empty());  // VLAN 7 is not the hosts'
  EXPECT_EQ(received(0), std::vector<Bytes>{frame_of(MacAddress::broadcast(), station(2), 7)});
  EXPECT_EQ(received(2).size(), 0U);
  send(0, frame_of(station(2), station(1), 7));
  turn();
  EXPECT_EQ(received(1), std::vector<Bytes>{frame_of(station(2), station(1))});
  send(1, frame_of(station(1), station(2), 8));  // a tag where there are none
  turn();
  EXPECT_EQ(received(0).size() + received(2).size(), 0U);
  EXPECT_EQ(bridge_->counts().get(Count::kDropVlan), 1U);
}

TEST_F(BridgeTest, SameStationInTwoVlans_IsTwo) {
  for (int i = 0; i < 3; ++i) join();
  send(0, frame_of(station(9), station(1), 5));
  send(1, frame_of(station(9), station(1), 6));
  turn();
  for (std::size_t i = 0; i < 3; ++i) received(i);
  send(2, frame_of(station(1), station(3), 5));
  turn();
  EXPECT_EQ(received(0).size(), 1U);
  EXPECT_EQ(received(1).size(), 0U);
}

TEST_F(BridgeTest, OwnFrameThatComesBack_IsDropped) {
  join();
  join();
  send(0, frame_of(MacAddress::broadcast(), {{0x02, 0, 0, 0, 9, 1}}));
  EXPECT_TRUE(turn().empty());
  EXPECT_EQ(received(1).size(), 0U);
  EXPECT_EQ(bridge_->counts().get(Count::kDropOwn), 1U);
}

TEST_F(BridgeTest, RemovedMember_TheOthersGoOn) {
  for (int i = 0; i < 3; ++i) join();
  send(0, frame_of(station(9), station(1)));
  turn();
  for (std::size_t i = 0; i < 3; ++i) received(i);
  EXPECT_TRUE(bridge_->remove("p0"));
  EXPECT_FALSE(bridge_->remove("p0"));
  send(1, frame_of(station(1), station(2)));  // where it was is forgotten
  turn();
  EXPECT_EQ(received(2).size(), 1U);
  EXPECT_EQ(bridge_->size(), 2U);
}

TEST_F(BridgeTest, SameNameTwice_IsRefused) {
  join();
  names_ = 0;
  Far far;
  auto [near, away] = driver::open_loop({}, far.members->pool(), far.own->pool());
  const auto added =
      bridge_->add(std::make_unique<Named>(std::move(near), 0), far.members->pool(), nullptr, {});
  ASSERT_FALSE(added);
  EXPECT_NE(added.error().what.find("p0"), std::string::npos);
}

/// TCP with `payload` bytes counting up, from the hosts.
Bytes tcp_frame(std::size_t payload) {
  Bytes bytes(54 + payload);
  wire::EthernetHeader{station(1), {{0x02, 0, 0, 0, 9, 0}}, wire::EtherType::kIpv4}.emit(
      bytes.data());
  wire::Ipv4Header ip;
  ip.src = base::IpAddress::v4(10, 0, 0, 1);
  ip.dst = base::IpAddress::v4(10, 0, 0, 2);
  ip.total_length = static_cast<std::uint16_t>(40 + payload);
  ip.id = 100;
  ip.emit(&bytes[14]);
  base::store_be32(&bytes[38], 5000);
  base::store_u8(&bytes[46], 0x50);
  base::store_u8(&bytes[47], wire::TcpFlags::kFin | wire::TcpFlags::kPsh | wire::TcpFlags::kAck);
  for (std::size_t i = 0; i < payload; ++i) bytes[54 + i] = static_cast<std::byte>(i * 7 >> 3);
  return bytes;
}

TEST_F(BridgeTest, LongTcpFrame_IsCutForAMemberThatCannot) {
  join();
  mem::FrameDesc known;
  known.flags = mem::kFrameCsumNeeded | mem::kFrameGsoTcp4;
  known.gso_size = 1448;
  known.l4_offset = 34;
  const Bytes whole = tcp_frame(10'000);
  send_from_hosts(whole, known);
  const auto pieces = received(0);
  ASSERT_EQ(pieces.size(), 7U);
  Bytes payload;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    wire::PacketView view;
    ASSERT_EQ(wire::parse_frame(pieces[i], {}, view), wire::ParseDrop::kNone) << i;
    EXPECT_TRUE(view.l4_checksum_ok);
    EXPECT_EQ(base::load_be32(&pieces[i][38]), 5000 + payload.size());
    EXPECT_EQ(base::load_be16(&pieces[i][18]), 100 + i);
    const bool last = i + 1 == pieces.size();
    EXPECT_EQ((base::load_u8(&pieces[i][47]) & wire::TcpFlags::kFin) != 0, last);
    payload.insert(payload.end(), pieces[i].begin() + 54, pieces[i].end());
  }
  EXPECT_EQ(payload, Bytes(whole.begin() + 54, whole.end()));
}

TEST_F(BridgeTest, ChecksumLeftOut_IsFilledInForAMemberThatCannot) {
  join();
  mem::FrameDesc known;
  known.flags = mem::kFrameCsumNeeded;
  known.l4_offset = 34;
  send_from_hosts(tcp_frame(100), known);
  const auto frames = received(0);
  ASSERT_EQ(frames.size(), 1U);
  wire::PacketView view;
  EXPECT_EQ(wire::parse_frame(frames[0], {}, view), wire::ParseDrop::kNone);
}

TEST_F(BridgeTest, AnyBytes_NoFrameIsLeaked) {
  join();
  join({.vlan = 3});
  base::Random random = base::Random::seeded(11);
  for (int i = 0; i < 3000; ++i) {
    Bytes bytes = frame_of(station(i % 3), station(i % 5), i % 4);
    for (int change = 0; change < 3; ++change) {
      bytes[random.below(20)] = static_cast<std::byte>(random.below(256));
    }
    bytes.resize(1 + random.below(static_cast<std::uint32_t>(bytes.size())));
    send(i % 2, bytes);
    turn();
    received(0);
    received(1);
  }
  EXPECT_TRUE(hosts_.whole());
  for (const Far& far : fars_) EXPECT_TRUE(far.members->whole() && far.own->whole());
}

TEST(LearningTable, OldStationsAreForgotten) {
  LearningTable table;
  table.learn(station(1), 0, 3, {0});
  EXPECT_EQ(table.find(station(1), 0, {1}), 3);
  EXPECT_EQ(table.find(station(1), 1, {1}), LearningTable::kNone);
  EXPECT_EQ(table.find(station(1), 0, {LearningTable::kAge.ns}), LearningTable::kNone);
  table.learn(MacAddress::broadcast(), 0, 3, {0});
  EXPECT_EQ(table.find(MacAddress::broadcast(), 0, {1}), LearningTable::kNone);
}

TEST(LearningTable, FloodOfAddresses_KeepsTheLatest) {
  LearningTable table;
  for (std::uint32_t i = 0; i < 100'000; ++i) {
    MacAddress mac{{0x02, 0, static_cast<std::uint8_t>(i >> 24), static_cast<std::uint8_t>(i >> 16),
                    static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)}};
    table.learn(mac, 0, 1, {i});
    EXPECT_EQ(table.find(mac, 0, {i}), 1);
  }
}

}  // namespace
}  // namespace ringway::bridge
