#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>

#include "base/bytes.h"
#include "driver/open.h"
#include "driver/packet/packet_port.h"
#include "driver/tap/tap_device.h"
#include "driver/tap/vnet_header.h"
#include "driver/test_namespace.h"
#include "port/conformance.h"
#include "wire/checksum.h"
#include "wire/test_bytes.h"

namespace ringway::driver {
namespace {

using base::Result;
using port::ConformanceCase;
using port::ConformanceWire;
using port::PortConformance;
using port::TestPool;
using Bytes = std::vector<std::byte>;

PacketOptions options_of(const std::string& spec) {
  return PacketOptions::parse(port::Spec::parse(spec).value()).value();
}

/// A packet port on a tap in a namespace of its own; whoever holds the tap is the wire. What is
/// written into a tap has been received on return, and the other way round.
class PacketWire final : public ConformanceWire {
 public:
  static Result<std::unique_ptr<PacketWire>> open(const std::string& options) {
    auto own = OwnNamespace::enter();
    if (!own) return tl::unexpected(own.error());
    auto wire = std::make_unique<PacketWire>();
    wire->namespace_ = std::move(*own);
    std::ofstream("/proc/sys/net/ipv6/conf/default/disable_ipv6") << "1";
    auto tap = open_tap("rwpkt0");
    if (!tap) return tl::unexpected(std::move(tap).error());
    wire->tap_ = std::move(*tap);
    TapOptions up;
    if (auto done = configure_tap(wire->tap_, up); !done) return tl::unexpected(done.error());
    if (auto done = set_tap_offload(wire->tap_, true, true); !done) {
      return tl::unexpected(done.error());
    }
    auto device = open_packet("rwpkt0");
    if (!device) return tl::unexpected(std::move(device).error());
    auto port = PacketPort::open(std::move(*device), options_of("packet:rwpkt0" + options),
                                 wire->pool_.pool());
    if (!port) return tl::unexpected(std::move(port).error());
    wire->port_ = std::move(*port);
    return wire;
  }

  port::Port& port() override { return *port_; }
  TestPool& pool() override { return pool_; }
  bool inject(std::span<const std::byte> frame) override { return inject({}, frame); }
  bool inject(VnetHeader header, std::span<const std::byte> frame) {
    std::array<iovec, 2> parts{
        {{&header, sizeof header}, {const_cast<std::byte*>(frame.data()), frame.size()}}};
    return ::writev(tap_.fd.get(), parts.data(), 2) ==
           static_cast<ssize_t>(sizeof header + frame.size());
  }
  std::optional<Bytes> collect() override { return collect(nullptr); }
  std::optional<Bytes> collect(VnetHeader* known) {
    VnetHeader header;
    Bytes bytes(1 << 17);
    std::array<iovec, 2> parts{{{&header, sizeof header}, {bytes.data(), bytes.size()}}};
    const ssize_t n = ::readv(tap_.fd.get(), parts.data(), 2);
    if (n < static_cast<ssize_t>(sizeof header)) return std::nullopt;
    if (known != nullptr) *known = header;
    bytes.resize(static_cast<std::size_t>(n) - sizeof header);
    return bytes;
  }
  void close() override { port_.reset(); }
  std::size_t min_frame() const override { return 14; }
  bool lossless() const override { return false; }
  bool take_down() override { return set_flags(0); }
  bool bring_up() override { return set_flags(IFF_UP); }
  bool set_mtu(std::uint16_t mtu) override {
    TapOptions options;
    options.mtu = mtu;
    return configure_tap(tap_, options).has_value();
  }
  void unplug() { tap_.fd.reset(); }

 private:
  static bool set_flags(short flags) {
    const base::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::copy_n("rwpkt0", 7, request.ifr_name);
    request.ifr_flags = flags;
    return ::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0;
  }

  std::unique_ptr<OwnNamespace> namespace_;
  TestPool pool_{2048};
  TapDevice tap_;
  std::unique_ptr<PacketPort> port_;
};

Result<std::unique_ptr<ConformanceWire>> open_wire(const char* options) {
  auto wire = PacketWire::open(options);
  if (!wire) return tl::unexpected(wire.error());
  return std::move(*wire);
}

INSTANTIATE_TEST_SUITE_P(
    Packet, PortConformance,
    testing::Values(ConformanceCase{"offload", [] { return open_wire(""); }},
                    ConformanceCase{"plain", [] { return open_wire(",offload=off"); }},
                    ConformanceCase{"qdisc", [] { return open_wire(",bypass=off"); }}),
    port::conformance_name);

class Packet : public testing::Test {
 protected:
  void open(const std::string& options) {
    auto wire = PacketWire::open(options);
    if (!wire && (wire.error().code == base::ErrorCode::kPermission ||
                  wire.error().code == base::ErrorCode::kUnavailable)) {
      GTEST_SKIP() << wire.error().what;
    }
    ASSERT_TRUE(wire) << wire.error().what;
    wire_ = std::move(*wire);
  }
  void TearDown() override {
    if (!wire_) return;
    wire_->close();
    EXPECT_TRUE(wire_->pool().whole());
  }
  port::Port& port() { return wire_->port(); }
  TestPool& pool() { return wire_->pool(); }
  std::optional<Bytes> receive() {
    std::array<mem::FrameDesc, 64> descs;
    const std::size_t n = port().rx_burst(descs);
    if (n == 0) return std::nullopt;
    return pool().take(std::span(descs).first(n));
  }

  std::unique_ptr<PacketWire> wire_;
};

Bytes frame_of(std::size_t length, unsigned seed) {
  Bytes frame(length, static_cast<std::byte>(seed));
  std::fill_n(frame.begin(), 6, std::byte{0xff});
  frame[6] = std::byte{2};
  frame[12] = std::byte{0x88};
  frame[13] = std::byte{0xb5};
  return frame;
}

TEST_F(Packet, Blocks_DeliverEveryFrameInOrder) {
  ASSERT_NO_FATAL_FAILURE(open(",block=1ms,offload=off"));
  if (IsSkipped()) return;
  constexpr unsigned kFrames = 500;
  for (unsigned i = 0; i < kFrames; ++i) ASSERT_TRUE(wire_->inject(frame_of(60 + i, i)));
  const int fd = port().arm().value();
  for (unsigned i = 0; i < kFrames;) {
    std::array<mem::FrameDesc, 32> descs;
    const std::size_t n = port().rx_burst(descs);
    for (std::size_t j = 0; j < n; ++j, ++i) {
      EXPECT_EQ(pool().take({&descs[j], 1}), frame_of(60 + i, i)) << i;
    }
    if (n != 0) continue;
    pollfd item{fd, POLLIN, 0};
    ASSERT_EQ(::poll(&item, 1, 5000), 1) << "after " << i;
  }
  const mem::FrameDesc desc = pool().frame(frame_of(100, 1));
  ASSERT_EQ(port().tx_burst({&desc, 1}), 1U);
  EXPECT_EQ(wire_->collect(), frame_of(100, 1));
}

/// A TCP segment over IPv4 whose checksum field holds the pseudo header's sum.
Bytes tcp4(std::size_t payload) {
  Bytes frame = wire::hex(
      "ffffffffffff 020000000009 0800"
      "45000000 00004000 40060000 0a000001 0a000002"
      "04d20050 00000001 00000002 50100100 00000000");
  frame.resize(54 + payload, std::byte{0x31});
  base::store_be16(frame.data() + 16, static_cast<std::uint16_t>(40 + payload));
  base::store_be16(frame.data() + 24, wire::internet_checksum(std::span(frame).subspan(14, 20)));
  const auto pseudo =
      wire::pseudo_header(base::IpAddress::v4(10, 0, 0, 1), base::IpAddress::v4(10, 0, 0, 2), 6,
                          static_cast<std::uint32_t>(20 + payload));
  base::store_be16(frame.data() + 50, pseudo.fold());
  return frame;
}

TEST_F(Packet, TxSegments_LeaveWholeWithTheirSize) {
  ASSERT_NO_FATAL_FAILURE(open(""));
  if (IsSkipped()) return;
  const Bytes frame = tcp4(3000);
  mem::FrameDesc desc = pool().frame(frame);
  desc.flags = mem::kFrameCsumNeeded | mem::kFrameGsoTcp4;
  desc.gso_size = 1000;
  ASSERT_EQ(port().tx_burst({&desc, 1}), 1U);
  VnetHeader header;
  EXPECT_EQ(wire_->collect(&header), frame);
  EXPECT_EQ(header.gso_type, VnetHeader::kGsoTcp4);
  EXPECT_EQ(header.gso_size, 1000);
  EXPECT_EQ(header.flags, VnetHeader::kNeedsChecksum);
}

TEST_F(Packet, RxSegments_ArriveAsOnePacketOfSeveralPieces) {
  ASSERT_NO_FATAL_FAILURE(open(""));
  if (IsSkipped()) return;
  const Bytes frame = tcp4(30000);
  VnetHeader header{VnetHeader::kNeedsChecksum, VnetHeader::kGsoTcp4, 54, 1448, 34, 16};
  ASSERT_TRUE(wire_->inject(header, frame));
  std::array<mem::FrameDesc, 64> descs;
  const std::size_t n = port().rx_burst(descs);
  ASSERT_GT(n, 1U);
  EXPECT_EQ(descs[0].gso_size, 1448);
  EXPECT_EQ(descs[0].flags & (mem::kFrameGsoTcp4 | mem::kFrameCsumOk),
            mem::kFrameGsoTcp4 | mem::kFrameCsumOk);
  EXPECT_EQ(pool().take(std::span(descs).first(n)), frame);
}

TEST_F(Packet, VlanTag_IsBackInItsPlace) {
  ASSERT_NO_FATAL_FAILURE(open(",offload=off"));
  if (IsSkipped()) return;
  Bytes frame = frame_of(80, 3);
  base::store_be16(frame.data() + 12, 0x8100);
  base::store_be16(frame.data() + 14, 0x2005);
  ASSERT_TRUE(wire_->inject(frame));
  EXPECT_EQ(receive(), frame);
}

TEST_F(Packet, OwnFrames_DoNotComeBack) {
  ASSERT_NO_FATAL_FAILURE(open(""));
  if (IsSkipped()) return;
  const mem::FrameDesc desc = pool().frame(frame_of(100, 1));
  ASSERT_EQ(port().tx_burst({&desc, 1}), 1U);
  EXPECT_TRUE(wire_->collect());
  EXPECT_FALSE(receive());
}

TEST_F(Packet, InterfaceGone_IsCountedNotFatal) {
  ASSERT_NO_FATAL_FAILURE(open(""));
  if (IsSkipped()) return;
  wire_->unplug();
  port().advance(base::Instant{} + base::Duration::seconds(1));
  for (int i = 0; i < 300; ++i) {
    const mem::FrameDesc desc = pool().frame(frame_of(100, 1));
    ASSERT_EQ(port().tx_burst({&desc, 1}), 1U);
  }
  EXPECT_EQ(port().counters().tx_error, 300U);
  EXPECT_FALSE(receive());
  const int fd = port().arm().value();
  pollfd item{fd, POLLIN, 0};
  EXPECT_EQ(::poll(&item, 1, 0), 0) << "nobody is kept awake";
}

TEST_F(Packet, SeveralQueues_ShareTheFramesByFlow) {
  ASSERT_NO_FATAL_FAILURE(open(""));
  if (IsSkipped()) return;
  TestPool one(256);
  TestPool two(256);
  const std::array<Frames, 2> frames{Frames(one.pool()), Frames(two.pool())};
  auto queues = open_queues("packet:rwpkt0,queues=2,offload=off", frames);
  ASSERT_TRUE(queues) << queues.error().what;
  Bytes udp = wire::hex(
      "ffffffffffff 020000000009 0800"
      "4500001c 00000000 40110000 0a000002 0a000001 04d20035 00080000");
  for (unsigned i = 0; i < 64; ++i) {
    base::store_be16(udp.data() + 34, static_cast<std::uint16_t>(1000 + i));
    base::store_be16(udp.data() + 24, 0);
    base::store_be16(udp.data() + 24, wire::internet_checksum(std::span(udp).subspan(14, 20)));
    ASSERT_TRUE(wire_->inject(udp));
  }
  std::array<std::size_t, 2> counts{};
  for (std::size_t i = 0; i < 2; ++i) {
    std::array<mem::FrameDesc, 256> descs;
    counts[i] = (*queues)[i]->rx_burst(descs);
    for (std::size_t j = 0; j < counts[i]; ++j) frames[i].pool->free(descs[j].slot);
  }
  EXPECT_EQ(counts[0] + counts[1], 64U) << "each frame once";
  EXPECT_GT(counts[0], 0U);
  EXPECT_GT(counts[1], 0U);
}

TEST_F(Packet, PassedSocket_IsAdopted) {
  ASSERT_NO_FATAL_FAILURE(open(""));
  if (IsSkipped()) return;
  auto device = open_packet("rwpkt0");
  ASSERT_TRUE(device) << device.error().what;
  const std::string spec = "packet:,fd=" + std::to_string(device->fd.release());
  TestPool own(256);
  auto port = open_port(spec, own.pool());
  ASSERT_TRUE(port) << port.error().what;
  EXPECT_EQ((*port)->name(), "rwpkt0");
  EXPECT_FALSE(adopt_packet(base::UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC))));
}

TEST_F(Packet, NoSuchInterface_SaysSo) {
  ASSERT_NO_FATAL_FAILURE(open(""));
  if (IsSkipped()) return;
  const auto port = open_port("packet:nowhere0", pool().pool());
  ASSERT_FALSE(port);
  EXPECT_EQ(port.error().code, base::ErrorCode::kNotFound);
  EXPECT_NE(port.error().what.find("nowhere0"), std::string::npos);
}

TEST(PacketSpec, Malformed_SaysWhatIsExpected) {
  for (const char* text : {"packet", "packet:a/b", "packet:a-name-that-is-too-long",
                           "packet:eth0,fanout=most", "packet:eth0,mac=01:00:00:00:00:01",
                           "packet:eth0,block=2s", "packet:eth0,frames=1", "packet:eth0,fast"}) {
    const auto options = PacketOptions::parse(port::Spec::parse(text).value());
    ASSERT_FALSE(options) << text;
    EXPECT_EQ(options.error().what.find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace ringway::driver
