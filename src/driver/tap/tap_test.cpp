#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/bytes.h"
#include "driver/open.h"
#include "driver/tap/tap_port.h"
#include "driver/test_namespace.h"
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

TapOptions options_of(const std::string& spec) {
  return TapOptions::parse(port::Spec::parse(spec).value()).value();
}

/// A tap in a namespace of its own, and a packet socket that sees what the kernel sees on it.
class TapWire final : public ConformanceWire {
 public:
  static Result<std::unique_ptr<TapWire>> open(const std::string& spec, std::uint32_t slot_size,
                                               bool vnet = false) {
    auto own = OwnNamespace::enter();
    if (!own) return tl::unexpected(own.error());
    auto wire = std::make_unique<TapWire>(slot_size);
    wire->namespace_ = std::move(*own);
    // Without IPv6 the kernel says nothing on an interface that comes up.
    if (spec.find("ip6") == std::string::npos) {
      std::ofstream("/proc/sys/net/ipv6/conf/default/disable_ipv6") << "1";
    }
    auto port = TapPort::open(options_of(spec), wire->pool_.pool());
    if (!port) return tl::unexpected(port.error());
    wire->port_ = std::move(*port);
    wire->vnet_ = vnet;
    wire->listen();
    return wire;
  }

  explicit TapWire(std::uint32_t slot_size) : pool_(2048, slot_size) {}
  port::Port& port() override { return *port_; }
  TestPool& pool() override { return pool_; }
  bool inject(std::span<const std::byte> frame) override { return inject({}, frame); }
  bool inject(const VnetHeader& header, std::span<const std::byte> frame) {
    Bytes message;
    if (vnet_) {
      const auto bytes = std::as_bytes(std::span(&header, 1));
      message.assign(bytes.begin(), bytes.end());
    }
    message.insert(message.end(), frame.begin(), frame.end());
    return ::send(peer_.get(), message.data(), message.size(), 0) ==
           static_cast<ssize_t>(message.size());
  }
  std::optional<Bytes> collect() override { return collect(nullptr); }
  std::optional<Bytes> collect(VnetHeader* header) {
    Bytes bytes(1 << 17);
    for (;;) {
      sockaddr_ll from{};
      socklen_t length = sizeof from;
      const ssize_t n = ::recvfrom(peer_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT,
                                   reinterpret_cast<sockaddr*>(&from), &length);
      if (n < 0) return std::nullopt;
      if (from.sll_pkttype == PACKET_OUTGOING) continue;
      bytes.resize(static_cast<std::size_t>(n));
      if (!vnet_) return bytes;
      if (header != nullptr) std::memcpy(header, bytes.data(), sizeof *header);
      return Bytes(bytes.begin() + sizeof(VnetHeader), bytes.end());
    }
  }
  void close() override { port_.reset(); }
  std::size_t min_frame() const override { return 14; }
  bool lossless() const override { return false; }

 private:
  void listen() {
    peer_.reset(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
    ASSERT_TRUE(peer_);
    const int on = 1;
    if (vnet_) {
      ASSERT_EQ(::setsockopt(peer_.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on), 0);
    }
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(::if_nametoindex(std::string(port_->name()).c_str()));
    ASSERT_EQ(::bind(peer_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }

  std::unique_ptr<OwnNamespace> namespace_;
  TestPool pool_;
  std::unique_ptr<TapPort> port_;
  base::UniqueFd peer_;
  bool vnet_ = false;
};

Result<std::unique_ptr<ConformanceWire>> open_wire(const char* spec, std::uint32_t slot_size) {
  auto wire = TapWire::open(spec, slot_size);
  if (!wire) return tl::unexpected(wire.error());
  return std::move(*wire);
}

INSTANTIATE_TEST_SUITE_P(
    Tap, PortConformance,
    testing::Values(
        ConformanceCase{"offload", [] { return open_wire("tap:rwtest0", 4096); }},
        ConformanceCase{"plain", [] { return open_wire("tap:rwtest0,offload=off", 4096); }},
        ConformanceCase{"chain", [] { return open_wire("tap:rwtest0,chain", 4096); }},
        ConformanceCase{"jumbo", [] { return open_wire("tap:rwtest0,mtu=9000", 16384); }}),
    port::conformance_name);

/// Frames of the kernel's own programs; each test makes its namespace.
class Tap : public testing::Test {
 protected:
  void open(const std::string& spec, std::uint32_t slot_size = 4096, bool vnet = true) {
    auto wire = TapWire::open(spec, slot_size, vnet);
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

  std::unique_ptr<TapWire> wire_;
};

/// A TCP segment over IPv4 with `payload` bytes, its checksum field holding the pseudo header's
/// sum.
Bytes tcp4(std::size_t payload) {
  Bytes frame = wire::hex(
      "ffffffffffff 020000000009 0800"
      "45000000 00004000 40060000 0a000001 0a000002"
      "04d20050 00000001 00000002 50100100 00000000");
  frame.resize(54 + payload);
  for (std::size_t i = 0; i < payload; ++i) frame[54 + i] = static_cast<std::byte>(i * 31);
  base::store_be16(frame.data() + 16, static_cast<std::uint16_t>(40 + payload));
  base::store_be16(frame.data() + 24, wire::internet_checksum(std::span(frame).subspan(14, 20)));
  const auto pseudo =
      wire::pseudo_header(base::IpAddress::v4(10, 0, 0, 1), base::IpAddress::v4(10, 0, 0, 2), 6,
                          static_cast<std::uint32_t>(20 + payload));
  base::store_be16(frame.data() + 50, pseudo.fold());
  return frame;
}

TEST_F(Tap, TxSegments_LeaveWholeWithTheirSize) {
  ASSERT_NO_FATAL_FAILURE(open("tap:rwtest0", 16384));
  if (IsSkipped()) return;
  const Bytes frame = tcp4(8000);
  mem::FrameDesc desc = pool().frame(frame);
  desc.flags = mem::kFrameCsumNeeded | mem::kFrameGsoTcp4;
  desc.gso_size = 1460;
  ASSERT_EQ(port().tx_burst({&desc, 1}), 1U);
  VnetHeader header;
  const auto received = wire_->collect(&header);
  ASSERT_TRUE(received);
  EXPECT_EQ(*received, frame);
  EXPECT_EQ(header.gso_type, VnetHeader::kGsoTcp4);
  EXPECT_EQ(header.gso_size, 1460);
  EXPECT_EQ(header.flags & VnetHeader::kNeedsChecksum, VnetHeader::kNeedsChecksum);
}

TEST_F(Tap, TxLongWithoutSegments_IsCounted) {
  ASSERT_NO_FATAL_FAILURE(open("tap:rwtest0", 16384));
  if (IsSkipped()) return;
  mem::FrameDesc desc = pool().frame(tcp4(8000));
  ASSERT_EQ(port().tx_burst({&desc, 1}), 1U);
  EXPECT_EQ(port().counters().tx_bad, 1U);
}

TEST_F(Tap, RxSegmentsWithinASlot_ArriveWhole) {
  ASSERT_NO_FATAL_FAILURE(open("tap:rwtest0", 16384));
  if (IsSkipped()) return;
  const Bytes frame = tcp4(8000);
  ASSERT_TRUE(
      wire_->inject({VnetHeader::kNeedsChecksum, VnetHeader::kGsoTcp4, 54, 1460, 34, 16}, frame));
  mem::FrameDesc desc;
  ASSERT_EQ(port().rx_burst({&desc, 1}), 1U);
  EXPECT_EQ(desc.gso_size, 1460);
  EXPECT_EQ(desc.flags, mem::kFrameCsumOk | mem::kFrameCsumNeeded | mem::kFrameGsoTcp4);
  EXPECT_EQ(desc.l4_offset, 34);
  EXPECT_EQ(pool().take({&desc, 1}), frame);
}

TEST_F(Tap, RxSegmentsBeyondASlot_AreCutByTheKernel) {
  ASSERT_NO_FATAL_FAILURE(open("tap:rwtest0", 4096));
  if (IsSkipped()) return;
  ASSERT_TRUE(wire_->inject({VnetHeader::kNeedsChecksum, VnetHeader::kGsoTcp4, 54, 1460, 34, 16},
                            tcp4(8000)));
  std::array<mem::FrameDesc, 16> descs;
  const std::size_t n = port().rx_burst(descs);
  ASSERT_EQ(n, 6U);
  std::size_t payload = 0;
  for (std::size_t i = 0; i < n; ++i) {
    EXPECT_EQ(descs[i].gso_size, 0);
    payload += descs[i].length - 54U;
    pool().pool().free(descs[i].slot);
  }
  EXPECT_EQ(payload, 8000U);
  EXPECT_EQ(port().counters().rx_too_long, 0U);
}

TEST_F(Tap, RxSegmentsWithChain_ArriveInPieces) {
  ASSERT_NO_FATAL_FAILURE(open("tap:rwtest0,chain", 4096));
  if (IsSkipped()) return;
  const Bytes frame = tcp4(60'000);
  ASSERT_TRUE(
      wire_->inject({VnetHeader::kNeedsChecksum, VnetHeader::kGsoTcp4, 54, 1460, 34, 16}, frame));
  std::array<mem::FrameDesc, 64> descs;
  const std::size_t n = port().rx_burst(descs);
  ASSERT_GT(n, 1U);
  EXPECT_EQ(port::pieces_of({descs.data(), n}), n);
  EXPECT_EQ(descs[0].gso_size, 1460);
  EXPECT_EQ(pool().take({descs.data(), n}), frame);
}

TEST_F(Tap, RxWithoutOffload_HasARightChecksum) {
  ASSERT_NO_FATAL_FAILURE(open("tap:rwtest0,offload=off"));
  if (IsSkipped()) return;
  ASSERT_TRUE(wire_->inject({VnetHeader::kNeedsChecksum, 0, 0, 0, 34, 16}, tcp4(1000)));
  mem::FrameDesc desc;
  ASSERT_EQ(port().rx_burst({&desc, 1}), 1U);
  EXPECT_EQ(desc.flags, 0);
  wire::PacketView view;
  EXPECT_EQ(wire::parse_frame(pool().take({&desc, 1}), {}, view), wire::ParseDrop::kNone);
  EXPECT_TRUE(view.l4_checksum_ok);
}

/// UDP from us to a socket of the kernel: the kernel takes the address, and completes our checksum.
TEST_F(Tap, KernelSocket_ReceivesOurDatagram) {
  ASSERT_NO_FATAL_FAILURE(open("tap:rwtest0,kernel_ip=10.9.0.1/24", 4096, false));
  if (IsSkipped()) return;
  const base::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(7777);
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  Bytes frame = wire::hex(
      "ffffffffffff 020000000009 0800"
      "45000020 00004000 40110000 0a090002 0a090001"
      "04d21e61 000c0000 70696e67");
  base::store_be16(frame.data() + 24, wire::internet_checksum(std::span(frame).subspan(14, 20)));
  base::store_be16(frame.data() + 40, wire::pseudo_header(base::IpAddress::v4(10, 9, 0, 2),
                                                          base::IpAddress::v4(10, 9, 0, 1), 17, 12)
                                          .fold());
  ifreq request{};
  std::copy_n("rwtest0", 7, request.ifr_name);
  ASSERT_EQ(::ioctl(socket.get(), SIOCGIFHWADDR, &request), 0);
  std::memcpy(frame.data(), request.ifr_hwaddr.sa_data, 6);
  mem::FrameDesc desc = pool().frame(frame);
  desc.flags = mem::kFrameCsumNeeded;
  ASSERT_EQ(port().tx_burst({&desc, 1}), 1U);
  pollfd item{socket.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&item, 1, 5000), 1);
  std::array<char, 16> text{};
  ASSERT_EQ(::recv(socket.get(), text.data(), text.size(), 0), 4);
  EXPECT_STREQ(text.data(), "ping");
}

TEST_F(Tap, KernelAddress6_IsSet) {
  ASSERT_NO_FATAL_FAILURE(open("tap:rwtest0,kernel_ip6=fd09::1/64", 4096, false));
  if (IsSkipped()) return;
  std::ifstream file("/proc/net/if_inet6");
  std::string line;
  bool found = false;
  while (std::getline(file, line)) {
    found = found ||
            (line.rfind("fd090000000000000000000000000001", 0) == 0 &&
             line.find(" 40 ") != std::string::npos && line.find("rwtest0") != std::string::npos);
  }
  EXPECT_TRUE(found);
}

TEST_F(Tap, SecondOpen_SaysThatItIsInUse) {
  ASSERT_NO_FATAL_FAILURE(open("tap:rwtest0"));
  if (IsSkipped()) return;
  const auto second = open_tap("rwtest0");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, base::ErrorCode::kExists);
  EXPECT_NE(second.error().what.find("another program has it open"), std::string::npos);
}

TEST_F(Tap, PassedDescriptor_IsAdopted) {
  ASSERT_NO_FATAL_FAILURE(open("tap:other0"));
  if (IsSkipped()) return;
  auto opened = open_tap("rwtest1");
  ASSERT_TRUE(opened) << opened.error().what;
  auto adopted = adopt_tap(std::move(opened->fd));
  ASSERT_TRUE(adopted) << adopted.error().what;
  EXPECT_EQ(adopted->name, "rwtest1");
  const auto port = TapPort::open(std::move(*adopted), options_of("tap:rwtest1"), pool().pool());
  ASSERT_TRUE(port) << port.error().what;
  EXPECT_EQ((*port)->name(), "rwtest1");
}

TEST_F(Tap, SeveralQueues_ShareTheFramesByFlow) {
  ASSERT_NO_FATAL_FAILURE(open("tap:other0"));
  if (IsSkipped()) return;
  TestPool one(256);
  TestPool two(256);
  {
    const std::array<Frames, 2> frames{Frames(one.pool()), Frames(two.pool())};
    const auto queues = open_queues("tap:rwtest1,queues=2,kernel_ip=10.9.0.1/24,mtu=1500", frames);
    ASSERT_TRUE(queues) << queues.error().what;
    // The kernel chooses a queue by flow: many destinations of a neighbour that it is told of.
    ASSERT_EQ(std::system("ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:09 dev rwtest1"), 0);
    const base::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    for (unsigned i = 0; i < 64; ++i) {
      sockaddr_in to{};
      to.sin_family = AF_INET;
      to.sin_addr.s_addr = htonl(0x0a090002);
      to.sin_port = htons(static_cast<std::uint16_t>(1000 + i));
      ASSERT_EQ(::sendto(socket.get(), "x", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof to), 1);
    }
    std::size_t udp = 0;
    for (std::size_t i = 0; i < 2; ++i) {
      mem::FrameDesc desc;
      std::size_t count = 0;
      while ((*queues)[i]->rx_burst({&desc, 1}) == 1) {
        const Bytes frame = (i == 0 ? one : two).take({&desc, 1});
        if (frame.size() > 23 && frame[12] == std::byte{8} && frame[23] == std::byte{17}) ++count;
      }
      EXPECT_GT(count, 0U) << "queue " << i;
      udp += count;
    }
    EXPECT_EQ(udp, 64U);
  }
  EXPECT_TRUE(one.whole() && two.whole());
}

TEST_F(Tap, SlotsTooSmallForTheMtu_AreRefused) {
  ASSERT_NO_FATAL_FAILURE(open("tap:other0"));
  if (IsSkipped()) return;
  const auto port = TapPort::open(options_of("tap:rwtest1,mtu=9000"), pool().pool());
  ASSERT_FALSE(port);
  EXPECT_NE(port.error().what.find("mtu=1500"), std::string::npos) << port.error().what;
}

TEST_F(Tap, InterfaceGone_IsCountedNotFatal) {
  ASSERT_NO_FATAL_FAILURE(open("tap:rwtest0"));
  if (IsSkipped()) return;
  const base::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::copy_n("rwtest0", 7, request.ifr_name);
  ASSERT_EQ(::ioctl(socket.get(), SIOCSIFFLAGS, &request), 0);  // down
  const mem::FrameDesc desc = pool().frame(tcp4(10));
  EXPECT_EQ(port().tx_burst({&desc, 1}), 1U);
  EXPECT_EQ(port().counters().tx_error, 1U);
  mem::FrameDesc received;
  EXPECT_EQ(port().rx_burst({&received, 1}), 0U);
}

TEST(TapDevice, NotATap_IsRefused) {
  const auto device = adopt_tap(base::UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC)));
  ASSERT_FALSE(device);
  EXPECT_NE(device.error().what.find("no open tap"), std::string::npos);
}

TEST(TapSpec, Options_AreRead) {
  const TapOptions options = options_of(
      "tap:rw0,ip=10.0.0.2/24,ip6=fd00::2/64,kernel_ip=10.0.0.1/24,mac=02:00:00:00:00:07,mtu=9000,"
      "up=off,offload=off,chain");
  EXPECT_EQ(options.name, "rw0");
  EXPECT_EQ(base::to_string(*options.ip), "10.0.0.2/24");
  EXPECT_EQ(base::to_string(*options.ip6), "fd00::2/64");
  EXPECT_EQ(base::to_string(*options.kernel_ip), "10.0.0.1/24");
  EXPECT_FALSE(options.kernel_ip6);
  EXPECT_EQ(options.mac->bytes[5], 7);
  EXPECT_EQ(options.mtu, 9000);
  EXPECT_FALSE(options.up);
  EXPECT_FALSE(options.offload);
  EXPECT_TRUE(options.chain);
}

TEST(TapSpec, Malformed_SaysWhatIsExpected) {
  for (const char* text : {"tap:a-name-that-is-too-long", "tap:a/b", "tap:rw0,ip=fd00::1/64",
                           "tap:rw0,ip=10.0.0.1/33", "tap:rw0,kernel_ip6=10.0.0.1",
                           "tap:rw0,mac=01:00:00:00:00:01", "tap:rw0,mtu=100", "tap:rw0,fast"}) {
    const auto options = TapOptions::parse(port::Spec::parse(text).value());
    ASSERT_FALSE(options) << text;
    EXPECT_EQ(options.error().what.find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace ringway::driver
