#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "base/bytes.h"
#include "driver/xdp/xdp_checksum.h"
#include "driver/xdp/xdp_device.h"
#include "port/conformance.h"
#include "wire/checksum.h"
#include "wire/packet_view.h"
#include "wire/test_bytes.h"

namespace ringway::driver {
namespace {

using base::Result;
using port::ConformanceCase;
using port::ConformanceWire;
using port::PortConformance;
using port::TestPool;
using Bytes = std::vector<std::byte>;

bool run(const std::string& command) {
  return std::system((command + " >/dev/null 2>&1").c_str()) == 0;  // NOLINT(cert-env33-c)
}

XdpOptions options_of(const std::string& spec) {
  return XdpOptions::parse(port::Spec::parse(spec).value()).value();
}

/// How the veth pair of a test is made.
struct Veth {
  std::uint32_t mtu = 1500;
  std::uint32_t queues = 1;
};

/// A network namespace of its own for this thread with a veth pair rwx0, rwx1; left again at the
/// end.
class VethNamespace {
 public:
  static Result<std::unique_ptr<VethNamespace>> enter(const Veth& veth) {
    auto own = std::make_unique<VethNamespace>();
    own->before_.reset(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (::geteuid() != 0 || !own->before_ || ::unshare(CLONE_NEWNET) != 0) {
      own->before_.reset();
      return base::fail(base::ErrorCode::kPermission, "needs root for AF_XDP on a veth pair");
    }
    // Without IPv6 the kernel says nothing on an interface that comes up.
    std::ofstream("/proc/sys/net/ipv6/conf/default/disable_ipv6") << "1";
    const bool made =
        run(fmt::format("ip link add rwx0 mtu {0} numrxqueues {1} numtxqueues {1} type veth peer "
                        "name rwx1 mtu {0} numrxqueues {1} numtxqueues {1}",
                        veth.mtu, veth.queues)) &&
        run("ip link set rwx0 up") && run("ip link set rwx1 up");
    if (!made) return base::fail(base::ErrorCode::kUnavailable, "no veth pair can be made here");
    return own;
  }
  VethNamespace() = default;
  VethNamespace(const VethNamespace&) = delete;
  VethNamespace& operator=(const VethNamespace&) = delete;
  ~VethNamespace() {
    if (before_) {
      EXPECT_EQ(::setns(before_.get(), CLONE_NEWNET), 0);
    }
  }

 private:
  base::UniqueFd before_;
};

/// A port on rwx0 that takes all frames, and a packet socket on rwx1.
class XdpWire final : public ConformanceWire {
 public:
  static Result<std::unique_ptr<XdpWire>> open(const std::string& spec, std::uint32_t slot_size,
                                               const Veth& veth = {}) {
    auto own = VethNamespace::enter(veth);
    if (!own) return tl::unexpected(own.error());
    auto wire = std::make_unique<XdpWire>(slot_size);
    wire->namespace_ = std::move(*own);
    if (auto made = wire->set_up(options_of(spec)); !made) return tl::unexpected(made.error());
    wire->listen();
    return wire;
  }

  explicit XdpWire(std::uint32_t slot_size) : pool_(1024, slot_size) {}
  port::Port& port() override { return *port_; }
  XdpPort& xdp_port() { return *port_; }
  TestPool& pool() override { return pool_; }
  bool inject(std::span<const std::byte> frame) override {
    const std::uint64_t before = steering_->counter(RW_REDIRECTED);
    if (::send(peer_.get(), frame.data(), frame.size(), 0) != static_cast<ssize_t>(frame.size())) {
      return false;
    }
    for (int i = 0; i < 1000 && steering_->counter(RW_REDIRECTED) == before; ++i) {
      ::poll(nullptr, 0, 1);
    }
    return steering_->counter(RW_REDIRECTED) != before;
  }
  std::optional<Bytes> collect() override {
    Bytes bytes(1 << 16);
    for (;;) {
      sockaddr_ll from{};
      socklen_t length = sizeof from;
      const ssize_t n = ::recvfrom(peer_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT,
                                   reinterpret_cast<sockaddr*>(&from), &length);
      if (n < 0) return std::nullopt;
      if (from.sll_pkttype == PACKET_OUTGOING) continue;
      bytes.resize(static_cast<std::size_t>(n));
      return bytes;
    }
  }
  void close() override { port_.reset(); }
  std::size_t min_frame() const override { return 14; }
  bool lossless() const override { return false; }
  bool keeps_frames() const override { return true; }
  bool native() const { return steering_->native(); }

 private:
  Result<void> set_up(const XdpOptions& options) {
    const auto facts = look_at_device("rwx0");
    if (!facts) return tl::unexpected(facts.error());
    const auto umem = umem_of(pool_.pool());
    if (!umem) return tl::unexpected(umem.error());
    auto queues = bind_queues(*facts, options, *umem);
    if (!queues) return tl::unexpected(queues.error());
    auto steering = xdp::Steering::open({"rwx0", facts->index, options.attach, ""});
    if (!steering) return tl::unexpected(steering.error());
    steering_ = std::move(*steering);
    for (std::size_t i = 0; i < queues->sockets.size(); ++i) {
      const auto set =
          steering_->set_socket(static_cast<std::uint32_t>(i), queues->sockets[i].get());
      if (!set) return set;
    }
    if (auto all = steering_->take_all(true); !all) return all;
    auto port = XdpPort::adopt(std::move(*queues), pool_.pool());
    if (!port) return tl::unexpected(port.error());
    port_ = std::move(*port);
    return {};
  }
  void listen() {
    peer_.reset(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
    ASSERT_TRUE(peer_);
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(::if_nametoindex("rwx1"));
    ASSERT_EQ(::bind(peer_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }

  std::unique_ptr<VethNamespace> namespace_;
  TestPool pool_;
  std::unique_ptr<xdp::Steering> steering_;
  std::unique_ptr<XdpPort> port_;
  base::UniqueFd peer_;
};

Result<std::unique_ptr<ConformanceWire>> open_wire(const char* spec, std::uint32_t slot_size,
                                                   const Veth& veth = {}) {
  auto wire = XdpWire::open(spec, slot_size, veth);
  if (!wire) return tl::unexpected(wire.error());
  return std::move(*wire);
}

INSTANTIATE_TEST_SUITE_P(
    Xdp, PortConformance,
    testing::Values(ConformanceCase{"native", [] { return open_wire("xdp:rwx0", 4096); }},
                    ConformanceCase{"generic",
                                    [] { return open_wire("xdp:rwx0,mode=generic", 4096); }},
                    ConformanceCase{"small_slots", [] { return open_wire("xdp:rwx0", 2048); }},
                    ConformanceCase{"queues",
                                    [] {
                                      return open_wire("xdp:rwx0", 4096, {1500, 2});
                                    }}),
    port::conformance_name);

class Xdp : public testing::Test {
 protected:
  void open(const std::string& spec, std::uint32_t slot_size = 4096, const Veth& veth = {}) {
    auto wire = XdpWire::open(spec, slot_size, veth);
    if (!wire && wire.error().code == base::ErrorCode::kPermission) {
      GTEST_SKIP() << wire.error().what;
    }
    ASSERT_TRUE(wire) << wire.error().what;
    wire_ = std::move(*wire);
  }
  /// What opening fails with, on a fresh veth pair.
  base::Error error_of(const std::string& spec, const std::string& before = "true") {
    auto own = VethNamespace::enter({});
    if (!own) return own.error();
    EXPECT_TRUE(run(before));
    TestPool pool;
    auto port = open_xdp(options_of(spec), pool.pool());
    EXPECT_FALSE(port);
    return port ? base::Error{} : port.error();
  }
  void TearDown() override {
    if (!wire_) return;
    wire_->close();
    EXPECT_TRUE(wire_->pool().whole());
  }
  std::unique_ptr<XdpWire> wire_;
};

TEST_F(Xdp, LongFrames_TravelInPieces) {
  ASSERT_NO_FATAL_FAILURE(open("xdp:rwx0,chain", 4096, {9000, 1}));
  if (IsSkipped()) return;
  if (!wire_->xdp_port().binding().pieces) GTEST_SKIP() << "this kernel has no multi-buffer AF_XDP";
  Bytes frame(9014);
  for (std::size_t i = 0; i < frame.size(); ++i) frame[i] = static_cast<std::byte>(i * 13);
  for (std::size_t i = 0; i < 6; ++i) frame[i] = std::byte{0xff};
  base::store_be16(frame.data() + 12, 0x88b5);
  ASSERT_TRUE(wire_->inject(frame));
  std::array<mem::FrameDesc, 8> descs;
  const std::size_t n = wire_->port().rx_burst(descs);
  ASSERT_GT(n, 1U);
  const std::span<const mem::FrameDesc> packet(descs.data(), n);
  EXPECT_EQ(port::pieces_of(packet), n);
  EXPECT_EQ(port::length_of(packet), frame.size());
  ASSERT_EQ(wire_->port().tx_burst(packet), n);
  EXPECT_EQ(wire_->collect(), frame);
}

Bytes udp_frame(std::size_t payload) {
  Bytes frame = wire::hex(
      "ffffffffffff 020000000009 0800"
      "45000000 00004000 40110000 0a000001 0a000002"
      "04d20050 00000000");
  frame.resize(42 + payload, std::byte{0x5a});
  base::store_be16(frame.data() + 16, static_cast<std::uint16_t>(28 + payload));
  base::store_be16(frame.data() + 38, static_cast<std::uint16_t>(8 + payload));
  base::store_be16(frame.data() + 24, wire::internet_checksum(std::span(frame).subspan(14, 20)));
  return frame;
}

TEST_F(Xdp, TxChecksum_IsFinishedOrLeftToTheKernel) {
  ASSERT_NO_FATAL_FAILURE(open("xdp:rwx0"));
  if (IsSkipped()) return;
  if (!wire_->port().caps().tx_checksum) GTEST_SKIP() << "this kernel has no transmit metadata";
  const Bytes frame = udp_frame(100);
  mem::FrameDesc desc = wire_->pool().frame(frame);
  desc.flags = mem::kFrameCsumNeeded;
  desc.l4_offset = 34;
  ASSERT_EQ(wire_->port().tx_burst({&desc, 1}), 1U);
  const auto received = wire_->collect();
  ASSERT_TRUE(received);
  wire::PacketView view;
  const auto drop = wire::parse_frame(*received, {}, view);
  const bool unfinished = xdp::checksum_unfinished(*received);
  EXPECT_TRUE(drop == wire::ParseDrop::kNone || unfinished) << wire::name(drop);
}

TEST(XdpChecksum, PseudoHeaderAlone_IsUnfinished) {
  Bytes frame = udp_frame(33);
  EXPECT_FALSE(xdp::checksum_unfinished(frame));
  const auto place = xdp::prepare_checksum(frame, static_cast<std::uint32_t>(frame.size()));
  ASSERT_TRUE(place);
  EXPECT_EQ(place->start, 34);
  EXPECT_EQ(place->offset, 6);
  EXPECT_TRUE(xdp::checksum_unfinished(frame));
  // Whoever finishes it adds the rest: the result is a right checksum.
  wire::Checksum sum;
  sum.add(std::span(frame).subspan(34));
  base::store_be16(frame.data() + 40, sum.finish_udp());
  wire::PacketView view;
  EXPECT_EQ(wire::parse_frame(frame, {}, view), wire::ParseDrop::kNone);
  EXPECT_FALSE(xdp::checksum_unfinished(frame));
}

TEST(XdpChecksum, OddFrames_AreNotTouched) {
  Bytes frame = udp_frame(33);
  for (std::size_t n = 0; n < 42; ++n) {
    EXPECT_FALSE(xdp::checksum_unfinished(std::span(frame).first(n))) << n;
    EXPECT_FALSE(xdp::prepare_checksum(std::span(frame).first(n), static_cast<std::uint32_t>(n)))
        << n;
  }
  base::store_be16(frame.data() + 20, 0x2000);  // a first fragment
  EXPECT_FALSE(xdp::prepare_checksum(frame, static_cast<std::uint32_t>(frame.size())));
}

TEST_F(Xdp, DeviceThatIsNotThere_IsSaid) {
  const base::Error error = error_of("xdp:rwnone");
  if (error.code == base::ErrorCode::kPermission) GTEST_SKIP() << error.what;
  EXPECT_EQ(error.code, base::ErrorCode::kNotFound);
  EXPECT_NE(error.what.find("rwnone"), std::string::npos);
}

TEST_F(Xdp, QueueBeyondTheLast_IsSaidWithTheFix) {
  const base::Error error = error_of("xdp:rwx0,queue=3");
  if (error.code == base::ErrorCode::kPermission) GTEST_SKIP() << error.what;
  EXPECT_NE(error.what.find("ethtool -L"), std::string::npos) << error.what;
}

TEST_F(Xdp, DeviceThatIsDown_IsSaidWithTheFix) {
  const base::Error error = error_of("xdp:rwx0", "ip link set rwx0 down");
  if (error.code == base::ErrorCode::kPermission) GTEST_SKIP() << error.what;
  EXPECT_NE(error.what.find("ip link set rwx0 up"), std::string::npos) << error.what;
}

TEST_F(Xdp, ZeroCopyThatIsNotToBeHad_Fails) {
  const base::Error error = error_of("xdp:rwx0,require=zerocopy");
  if (error.code == base::ErrorCode::kPermission) GTEST_SKIP() << error.what;
  EXPECT_NE(error.what.find("zero copy"), std::string::npos) << error.what;
}

TEST_F(Xdp, DeviceDownAndUpAgain_GoesOn) {
  ASSERT_NO_FATAL_FAILURE(open("xdp:rwx0"));
  if (IsSkipped()) return;
  const Bytes frame = udp_frame(20);
  ASSERT_TRUE(run("ip link set rwx0 down"));
  mem::FrameDesc desc = wire_->pool().frame(frame);
  EXPECT_EQ(wire_->port().tx_burst({&desc, 1}), 1U) << "it waits in the ring";
  ASSERT_TRUE(run("ip link set rwx0 up"));
  desc = wire_->pool().frame(frame);
  EXPECT_EQ(wire_->port().tx_burst({&desc, 1}), 1U);
  EXPECT_EQ(wire_->collect(), frame);
}

TEST_F(Xdp, DeviceThatGoesAway_CostsOnlyItsFrames) {
  ASSERT_NO_FATAL_FAILURE(open("xdp:rwx0"));
  if (IsSkipped()) return;
  ASSERT_TRUE(run("ip link del rwx0"));
  for (int i = 0; i < 3; ++i) {
    const mem::FrameDesc desc = wire_->pool().frame(udp_frame(20));
    EXPECT_EQ(wire_->port().tx_burst({&desc, 1}), 1U);
  }
  EXPECT_TRUE(wire_->xdp_port().gone());
  EXPECT_GT(wire_->port().counters().tx_error, 0U);
  std::array<mem::FrameDesc, 4> descs;
  EXPECT_EQ(wire_->port().rx_burst(descs), 0U);
}

TEST(XdpOptionsTest, WrongWords_AreSaid) {
  EXPECT_FALSE(XdpOptions::parse(port::Spec::parse("xdp:eth0,require=magic").value()));
  EXPECT_FALSE(XdpOptions::parse(port::Spec::parse("xdp").value()));
  EXPECT_FALSE(XdpOptions::parse(port::Spec::parse("xdp:eth0,queue=64").value()));
  EXPECT_EQ(options_of("xdp:eth0,require=zerocopy").copy, xdp::CopyMode::kZeroCopy);
}

}  // namespace
}  // namespace ringway::driver
