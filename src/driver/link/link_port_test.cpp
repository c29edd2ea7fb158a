#include "driver/link/link_port.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "port/conformance.h"

namespace ringway::driver {
namespace {

using port::ConformanceCase;
using port::ConformanceWire;
using port::PortConformance;
using port::TestPool;
using Bytes = std::vector<std::byte>;

LinkOptions options_of(const char* spec) {
  return LinkOptions::parse(port::Spec::parse(spec).value()).value();
}

std::unique_ptr<LinkPort> open_end(LinkEnd end, const char* spec, TestPool& pool) {
  auto port = LinkPort::open(std::move(end), options_of(spec), pool.pool());
  EXPECT_TRUE(port) << port.error().what;
  return std::move(*port);
}

/// Both ends of a link in one process.
struct Ends {
  explicit Ends(const char* spec) {
    auto ends = make_link().value();
    memory = LinkMemory::map(ends.first.memory.get()).value();
    mailbox = MailboxMemory::map(ends.second.mailbox.get()).value();
    a = open_end(std::move(ends.first), spec, pool_a);
    b = open_end(std::move(ends.second), spec, pool_b);
  }
  bool send(std::size_t length, std::uint8_t flags = 0) {
    mem::FrameDesc desc = pool_a.frame(Bytes(length, std::byte{0x5a}));
    desc.flags = flags;
    desc.gso_size = 1460;
    if (a->tx_burst({&desc, 1}) == 1) return true;
    pool_a.pool().free(desc.slot);
    return false;
  }
  /// What the peer writes itself into the next slot of its direction.
  ring::Slot& forge(std::uint32_t position) {
    ring::Slot& slot = memory.direction(0).slots[position % ring::kSlots];
    slot.seq.store(position + 1, std::memory_order_release);
    return slot;
  }
  std::size_t receive() {
    std::array<mem::FrameDesc, 64> out;
    const std::size_t n = b->rx_burst(out);
    for (std::size_t i = 0; i < n; ++i) pool_b.pool().free(out[i].slot);
    return n;
  }

  TestPool pool_a{16, 40'000};
  TestPool pool_b{256};
  LinkMemory memory;
  MailboxMemory mailbox;  ///< of b
  std::unique_ptr<LinkPort> a;
  std::unique_ptr<LinkPort> b;
};

class LinkWire final : public ConformanceWire {
 public:
  LinkWire(const char* spec, bool first) {
    auto ends = make_link().value();
    if (!first) std::swap(ends.first, ends.second);
    port_ = open_end(std::move(ends.first), spec, pool_);
    peer_ = open_end(std::move(ends.second), spec, peer_pool_);
  }
  port::Port& port() override { return *port_; }
  TestPool& pool() override { return pool_; }
  bool inject(std::span<const std::byte> frame) override {
    const mem::FrameDesc desc = peer_pool_.frame(frame);
    if (peer_->tx_burst({&desc, 1}) == 1) return true;
    peer_pool_.pool().free(desc.slot);
    return false;
  }
  std::optional<Bytes> collect() override {
    mem::FrameDesc desc;
    if (peer_->rx_burst({&desc, 1}) == 0) return std::nullopt;
    return peer_pool_.take({&desc, 1});
  }
  void close() override { port_.reset(); }

 private:
  TestPool pool_{256, 12'288};
  TestPool peer_pool_{256, 12'288};
  std::unique_ptr<port::Port> port_;
  std::unique_ptr<port::Port> peer_;
};

ConformanceCase wire_case(const char* name, const char* spec, bool first) {
  return {name, [spec, first]() -> base::Result<std::unique_ptr<ConformanceWire>> {
            return std::make_unique<LinkWire>(spec, first);
          }};
}

INSTANTIATE_TEST_SUITE_P(Link, PortConformance,
                         testing::Values(wire_case("plain", "link", true),
                                         wire_case("other_side", "link", false),
                                         wire_case("offload", "link:offload=on", true),
                                         wire_case("jumbo", "link:mtu=9000", false)),
                         port::conformance_name);

TEST(LinkPort, LongFrame_NeedsAPoolThatHoldsIt) {
  Ends ends("link:offload=on");
  ASSERT_TRUE(ends.send(30'000, mem::kFrameGsoTcp4 | mem::kFrameCsumNeeded));
  EXPECT_EQ(ends.receive(), 0U);
  EXPECT_EQ(ends.b->counters().rx_too_long, 1U);
  EXPECT_TRUE(ends.pool_b.whole());
}

TEST(LinkPort, RegionUsedUp_ReturnsWhenTheReceiverReads) {
  Ends ends("link:offload=on");
  std::uint32_t sent = 0;
  while (ends.send(30'000, mem::kFrameGsoTcp4)) ++sent;
  EXPECT_EQ(sent, ring::kBigFrames);
  EXPECT_EQ(ends.receive(), 0U);
  EXPECT_EQ(ends.b->counters().rx_too_long, sent);
  EXPECT_TRUE(ends.send(30'000, mem::kFrameGsoTcp4));
}

TEST(LinkPort, Offload_KeepsSegmentSizeAndFlags) {
  Ends ends("link:offload=on");
  ASSERT_TRUE(ends.send(3000, mem::kFrameCsumNeeded | mem::kFrameGsoTcp6));
  mem::FrameDesc received;
  ASSERT_EQ(ends.b->rx_burst({&received, 1}), 1U);
  EXPECT_EQ(received.flags, mem::kFrameCsumNeeded | mem::kFrameGsoTcp6 | mem::kFrameCsumOk);
  EXPECT_EQ(received.gso_size, 1460);
  ends.pool_b.pool().free(received.slot);
}

TEST(LinkPort, PeerAsksForWork_WithoutOffloadIsBad) {
  Ends ends("link");
  ring::Slot& slot = ends.forge(0);
  slot.length = 60;
  slot.flags = mem::kFrameInline | mem::kFrameCsumNeeded;
  ASSERT_EQ(ends.receive(), 0U);
  EXPECT_EQ(ends.b->counters().rx_bad, 1U);
}

TEST(LinkPort, PeerLies_CountsAndGoesOn) {
  Ends ends("link");
  ring::Slot& longer = ends.forge(0);
  longer.length = ring::Slot::kInlineBytes + 1;
  longer.flags = mem::kFrameInline;
  ring::Slot& outside = ends.forge(1);
  mem::FrameDesc desc;
  desc.slot = ring::kFrames;
  desc.length = 60;
  outside.flags = 0;
  std::memcpy(outside.data.data(), &desc, sizeof desc);
  ring::Slot& nothing = ends.forge(2);
  nothing.length = 0;
  nothing.flags = mem::kFrameInline;
  ring::Slot& chain = ends.forge(3);
  chain.length = 60;
  chain.flags = mem::kFrameInline | mem::kFrameMore;
  ring::Slot& good = ends.forge(4);
  good.length = 60;
  good.flags = mem::kFrameInline;
  EXPECT_EQ(ends.receive(), 1U);
  EXPECT_EQ(ends.b->counters().rx_bad, 4U);
  EXPECT_TRUE(ends.pool_b.whole());
}

TEST(LinkPort, PeerClaimsRoom_ThatItDoesNotHave) {
  Ends ends("link");
  while (ends.send(60)) {
  }
  ends.memory.direction(0).consumed.store(ring::kSlots + 77, std::memory_order_release);
  EXPECT_FALSE(ends.send(60));
}

TEST(LinkPort, PolledEnd_IsNotRung) {
  Ends ends("link");
  ASSERT_TRUE(ends.send(60));
  EXPECT_EQ(ends.mailbox.get()->summary.load(), 0U);
  ASSERT_TRUE(ends.b->arm());
  ASSERT_TRUE(ends.send(60));
  EXPECT_NE(ends.mailbox.get()->summary.load(), 0U);
}

TEST(LinkPort, NoLink_IsRefused) {
  auto ends = make_link().value();
  TestPool pool;
  std::swap(ends.first.memory, ends.first.mailbox);
  const auto port = LinkPort::open(std::move(ends.first), {}, pool.pool());
  ASSERT_FALSE(port);
  EXPECT_EQ(port.error().code, base::ErrorCode::kCorrupt);
}

TEST(LinkSpec, OptionsAreChecked) {
  EXPECT_EQ(options_of("link:left,mtu=9000").name, "left");
  EXPECT_EQ(options_of("link:mtu=9000").mtu, 9000);
  EXPECT_FALSE(LinkOptions::parse(port::Spec::parse("link:mtu=40000").value()));
  EXPECT_FALSE(LinkOptions::parse(port::Spec::parse("link:size=3").value()));
}

/// Sends back what arrives, sleeping on its doorbell, until a frame of one byte comes.
void echo(LinkEnd end) {
  TestPool pool{64};
  auto port = open_end(std::move(end), "link", pool);
  pollfd bell{port->arm().value(), POLLIN, 0};
  for (;;) {
    mem::FrameDesc desc;
    if (port->rx_burst({&desc, 1}) == 0) {
      ::poll(&bell, 1, 10'000);
      continue;
    }
    if (desc.length == 1 || port->tx_burst({&desc, 1}) != 1) return;
  }
}

TEST(LinkPort, TwoProcessesThatSleep_MissNothing) {
  auto ends = make_link().value();
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    echo(std::move(ends.second));
    ::_exit(0);
  }
  TestPool pool{64};
  auto port = open_end(std::move(ends.first), "link", pool);
  pollfd bell{port->arm().value(), POLLIN, 0};
  for (unsigned i = 0; i < 2000; ++i) {
    mem::FrameDesc desc = pool.frame(Bytes(14 + i % 1500, static_cast<std::byte>(i)));
    ASSERT_EQ(port->tx_burst({&desc, 1}), 1U);
    while (port->rx_burst({&desc, 1}) == 0) {
      ASSERT_EQ(::poll(&bell, 1, 10'000), 1) << "a wake-up was lost at " << i;
    }
    ASSERT_EQ(desc.length, 14 + i % 1500);
    EXPECT_EQ(pool.take({&desc, 1}).back(), static_cast<std::byte>(i));
  }
  const mem::FrameDesc last = pool.frame(Bytes(1));
  EXPECT_EQ(port->tx_burst({&last, 1}), 1U);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace ringway::driver
