#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <string>

#include "driver/dpdk/dpdk_options.h"
#include "driver/memif/memif_port.h"
#include "driver/open.h"
#include "port/conformance.h"

namespace ringway::driver {
namespace {

using base::Result;
using port::ConformanceCase;
using port::ConformanceWire;
using port::PortConformance;
using port::TestPool;
using Bytes = std::vector<std::byte>;

std::unique_ptr<mem::PoolMemory> shared_pool() {
  return mem::PoolMemory::create("dpdk-test", 4096).value();
}

Result<void> can_run() {
  const auto module = load_dpdk();
  if (!module) return tl::unexpected(module.error());
  return {};
}

/// A dpdk port over DPDK's own memif, and our memif port as its peer: each is a test of the other.
class DpdkMemifWire final : public ConformanceWire {
 public:
  static Result<std::unique_ptr<DpdkMemifWire>> open(bool dpdk_is_master) {
    if (auto can = can_run(); !can) return tl::unexpected(can.error());
    auto wire = std::make_unique<DpdkMemifWire>();
    if (auto done = wire->set_up(dpdk_is_master); !done) return tl::unexpected(done.error());
    return wire;
  }
  DpdkMemifWire() : pool_(shared_pool()), peer_pool_(shared_pool()) {}

  port::Port& port() override { return *port_; }
  TestPool& pool() override { return pool_; }
  bool inject(std::span<const std::byte> frame) override {
    if (frame.size() > 3000) return false;
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
  std::size_t min_frame() const override { return 14; }
  // The master of DPDK 22.11 removes its socket's name and leaves the socket open.
  std::size_t files_lost() const override { return master_ ? 1 : 0; }

 private:
  Result<void> set_up(bool dpdk_is_master) {
    static int number = 0;
    master_ = dpdk_is_master;
    const std::string path =
        testing::TempDir() + "rw-dpdk-" + std::to_string(::getpid()) + "-" + std::to_string(number);
    const std::string device = "net_memif" + std::to_string(number++);
    const auto spec =
        port::Spec::parse("memif:" + path + ",role=" + (dpdk_is_master ? "slave" : "master"));
    auto peer = MemifPort::open(MemifOptions::parse(*spec).value(), *peer_pool_.shared());
    if (!peer) return tl::unexpected(std::move(peer).error());
    peer_ = std::move(*peer);
    auto port = open_port("dpdk:" + device + ",args=role=" + (dpdk_is_master ? "master" : "slave") +
                              ";socket-abstract=no;socket=" + path,
                          *pool_.shared());
    if (!port) return tl::unexpected(std::move(port).error());
    port_ = std::move(*port);
    // DPDK greets in a thread of its own, within tenths of a second.
    base::Instant now{};
    for (const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
         std::chrono::steady_clock::now() < end && !peer_->connected(); ::sched_yield()) {
      now = now + base::Duration::milliseconds(1);
      peer_->advance(now);
    }
    if (!peer_->connected()) return base::fail(base::ErrorCode::kTimeout, peer_->reason());
    // A master has connected before it says so; a slave connects when it hears.
    return dpdk_is_master ? Result<void>() : wait_for_dpdk();
  }
  /// Until DPDK sends: it has taken the connection then. And a slave lends its master no buffer
  /// before it is asked for a frame.
  Result<void> wait_for_dpdk() {
    for (const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
         std::chrono::steady_clock::now() < end; ::sched_yield()) {
      const mem::FrameDesc probe = pool_.frame(Bytes(60));
      const bool taken = port_->tx_burst({&probe, 1}) == 1;
      if (!taken) pool_.pool().free(probe.slot);
      mem::FrameDesc none;
      if (collect() && port_->rx_burst({&none, 1}) == 0) return {};
    }
    return base::fail(base::ErrorCode::kTimeout, "DPDK does not send");
  }

  TestPool pool_;
  TestPool peer_pool_;
  std::unique_ptr<MemifPort> peer_;
  std::unique_ptr<port::Port> port_;
  bool master_ = false;
};

template <bool kMaster>
Result<std::unique_ptr<ConformanceWire>> open_memif() {
  auto wire = DpdkMemifWire::open(kMaster);
  if (!wire) return tl::unexpected(std::move(wire).error());
  return std::move(*wire);
}

INSTANTIATE_TEST_SUITE_P(Dpdk, PortConformance,
                         testing::Values(ConformanceCase{"memif_master", open_memif<true>},
                                         ConformanceCase{"memif_slave", open_memif<false>}),
                         port::conformance_name);

TEST(Dpdk, Memif_PassesFramesInBothRolesBothWays) {
  for (const bool master : {false, true}) {
    const auto wire = DpdkMemifWire::open(master);
    if (!wire && wire.error().code == base::ErrorCode::kUnavailable) {
      GTEST_SKIP() << wire.error().what;
    }
    ASSERT_TRUE(wire) << wire.error().what;
    DpdkMemifWire& w = **wire;
    for (std::size_t length = 60; length <= 1514; length += 97) {
      const Bytes frame(length, static_cast<std::byte>(length));
      ASSERT_TRUE(w.inject(frame)) << length;
      std::array<mem::FrameDesc, 8> descs;
      const std::size_t n = w.port().rx_burst(descs);
      ASSERT_EQ(n, 1U) << length;
      EXPECT_EQ(w.pool().take({descs.data(), 1}), frame);
      const mem::FrameDesc sent = w.pool().frame(frame);
      ASSERT_EQ(w.port().tx_burst({&sent, 1}), 1U);
      EXPECT_EQ(w.collect(), frame);
    }
    // More than the ring holds, so that all indices wrap.
    for (unsigned i = 0; i < 3000; ++i) {
      ASSERT_TRUE(w.inject(Bytes(64, static_cast<std::byte>(i))));
      mem::FrameDesc desc;
      ASSERT_EQ(w.port().rx_burst({&desc, 1}), 1U) << i;
      EXPECT_EQ(w.pool().take({&desc, 1})[0], static_cast<std::byte>(i));
    }
    w.close();
    EXPECT_TRUE(w.pool().whole());
  }
}

TEST(Dpdk, Ring_GivesBackTheVeryFramesThatWereSent) {
  const auto can = can_run();
  if (!can) GTEST_SKIP() << can.error().what;
  TestPool pool(shared_pool());
  auto port = open_port("dpdk:net_ring0", *pool.shared());
  ASSERT_TRUE(port) << port.error().what;
  std::array<mem::FrameDesc, 3> sent{pool.frame(Bytes(60, std::byte{1})),
                                     pool.frame(Bytes(700, std::byte{2})),
                                     pool.frame(Bytes(1514, std::byte{3}))};
  ASSERT_EQ((*port)->tx_burst(sent), 3U);
  std::array<mem::FrameDesc, 8> received;
  ASSERT_EQ((*port)->rx_burst(received), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(received[i].slot, sent[i].slot) << "no copy";
    EXPECT_EQ(received[i].offset, sent[i].offset);
    EXPECT_EQ(pool.take({&received[i], 1}), Bytes(sent[i].length, static_cast<std::byte>(i + 1)));
  }
  const mem::FrameDesc bad = pool.frame(Bytes(1515));
  EXPECT_EQ((*port)->tx_burst({&bad, 1}), 1U);
  EXPECT_EQ((*port)->counters().tx_bad, 1U);
  port->reset();
  EXPECT_TRUE(pool.whole());
}

TEST(Dpdk, Null_TakesFramesOfThePoolAndGivesThemBack) {
  const auto can = can_run();
  if (!can) GTEST_SKIP() << can.error().what;
  TestPool pool(64);
  auto port = open_port("dpdk:net_null0,args=size=128", pool.pool());
  ASSERT_TRUE(port) << port.error().what;
  std::array<mem::FrameDesc, 32> descs;
  for (int round = 0; round < 100; ++round) {
    ASSERT_EQ((*port)->rx_burst(descs), 32U);
    for (const mem::FrameDesc& desc : descs) EXPECT_EQ(desc.length, 128);
    EXPECT_EQ(pool.pool().free_count(), 32U);
    ASSERT_EQ((*port)->tx_burst(descs), 32U);
    EXPECT_TRUE(pool.whole());
  }
  EXPECT_EQ((*port)->counters().tx_frames, 3200U);
  ASSERT_EQ((*port)->rx_burst(descs), 32U);
  std::array<mem::FrameDesc, 32> more;
  ASSERT_EQ((*port)->rx_burst(more), 32U);
  EXPECT_EQ((*port)->rx_burst({}), 0U);
  mem::FrameDesc none;
  EXPECT_EQ((*port)->rx_burst({&none, 1}), 0U) << "the pool is empty";
  EXPECT_GT((*port)->counters().rx_no_frame, 0U);
  ASSERT_EQ((*port)->tx_burst(descs), 32U);
  ASSERT_EQ((*port)->tx_burst(more), 32U);
  port->reset();
  EXPECT_TRUE(pool.whole());
}

TEST(Dpdk, WhatDpdkDoesNotHave_IsOneLine) {
  const auto can = can_run();
  if (!can) GTEST_SKIP() << can.error().what;
  TestPool pool(64);
  for (const char* spec : {"dpdk:net_nothing0", "dpdk:0000:99:00.0", "dpdk:net_null7,mtu=60000"}) {
    const auto port = open_port(spec, pool.pool());
    if (port) continue;  // net_null may take any MTU
    EXPECT_EQ(port.error().what.find('\n'), std::string::npos) << port.error().what;
  }
  EXPECT_FALSE(open_port("dpdk:net_nothing0", pool.pool()));
  EXPECT_TRUE(pool.whole());
}

TEST(DpdkSpec, Options_AreRead) {
  const auto options = DpdkOptions::parse(
      port::Spec::parse("dpdk:net_null0,args=size=64;copy=1,eal=--no-huge  -m 64,rx=128").value());
  ASSERT_TRUE(options);
  EXPECT_EQ(options->devargs, "net_null0,size=64,copy=1");
  EXPECT_EQ(options->eal, (std::vector<std::string>{"--no-huge", "-m", "64"}));
  EXPECT_EQ(options->rx_descs, 128);
  EXPECT_FALSE(DpdkOptions::parse(port::Spec::parse("dpdk").value()));
  EXPECT_FALSE(DpdkOptions::parse(port::Spec::parse("dpdk:x,rx=1").value()));
}

}  // namespace
}  // namespace ringway::driver
