#include "netmap/netmap_port.h"

#include <optional>
#include <vector>

#include "netmap/test_program.h"
#include "port/conformance.h"

namespace ringway::netmap::testing {
namespace {

using port::ConformanceCase;
using port::ConformanceWire;
using port::PortConformance;
using Bytes = std::vector<std::byte>;

/// A port over one end of a pipe, a netmap program at the other.
class PipeWire final : public ConformanceWire {
 public:
  static base::Result<std::unique_ptr<ConformanceWire>> open() {
    auto wire = std::make_unique<PipeWire>();
    auto port = NetmapPort::open(port::Spec::parse("netmap:wire{1").value(), wire->pool_.pool());
    if (!port) return tl::unexpected(port.error());
    wire->port_ = std::move(*port);
    return std::unique_ptr<ConformanceWire>(std::move(wire));
  }
  port::Port& port() override { return *port_; }
  port::TestPool& pool() override { return pool_; }
  bool inject(std::span<const std::byte> frame) override {
    peer_.sync_tx();
    abi::Ring& ring = peer_.tx();
    if (ring.head == ring.tail || frame.size() > ring.nr_buf_size) return false;
    abi::Slot& slot = ring.slots()[ring.head];
    std::memcpy(Program::buffer(ring, slot.buf_idx), frame.data(), frame.size());
    slot.len = static_cast<std::uint16_t>(frame.size());
    slot.flags = 0;
    ring.head = ring.cur = (ring.head + 1) % ring.num_slots;
    peer_.sync_tx();
    return true;
  }
  std::optional<Bytes> collect() override {
    peer_.sync_rx();
    abi::Ring& ring = peer_.rx();
    Bytes frame;
    for (bool more = true; more;) {
      if (ring.head == ring.tail) return std::nullopt;
      const abi::Slot slot = ring.slots()[ring.head];
      const auto* from = reinterpret_cast<std::byte*>(Program::buffer(ring, slot.buf_idx));
      frame.insert(frame.end(), from, from + slot.len);
      more = (slot.flags & abi::kMoreFrag) != 0;
      ring.head = ring.cur = (ring.head + 1) % ring.num_slots;
    }
    peer_.sync_rx();
    return frame;
  }
  void close() override { port_.reset(); }

 private:
  port::TestPool pool_{2048};
  Program peer_{"wire}1"};
  std::unique_ptr<port::Port> port_;
};

INSTANTIATE_TEST_SUITE_P(Netmap, PortConformance,
                         ::testing::Values(ConformanceCase{"pipe", &PipeWire::open}),
                         port::conformance_name);

TEST(NetmapPort, WhatCannotBeOpened_IsToldInOneLine) {
  port::TestPool pool;
  const auto none = NetmapPort::open(port::Spec::parse("netmap:no-such-if").value(), pool.pool());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, base::ErrorCode::kNotFound);
  const auto option =
      NetmapPort::open(port::Spec::parse("netmap:vale0:a,rate=1").value(), pool.pool());
  ASSERT_FALSE(option);
  EXPECT_EQ(option.error().code, base::ErrorCode::kInvalidArgument);
}

TEST(NetmapPort, MeetsProgramsOnASwitch) {
  port::TestPool pool;
  auto port = NetmapPort::open(port::Spec::parse("netmap:vale0:p").value(), pool.pool());
  ASSERT_TRUE(port) << port.error().what;
  Program program("vale0:a");
  program.put(-1, 1, "to the port");
  program.sync_tx();
  mem::FrameDesc desc;
  ASSERT_EQ((*port)->rx_burst({&desc, 1}), 1U);
  EXPECT_EQ(desc.length, 14 + 11);
  desc = pool.frame(pool.take({&desc, 1}));
  EXPECT_EQ((*port)->tx_burst({&desc, 1}), 1U);
  EXPECT_EQ(program.get(), "to the port");
  EXPECT_TRUE(pool.whole());
}

}  // namespace
}  // namespace ringway::netmap::testing
