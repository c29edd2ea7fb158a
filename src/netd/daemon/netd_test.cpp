#include "netd/daemon/netd.h"

#include <fmt/format.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <mutex>

#include "base/bytes.h"
#include "driver/test_namespace.h"
#include "netd/client/client.h"
#include "port/test_pool.h"
#include "wire/checksum.h"

namespace ringway::netd {
namespace {

using driver::XdpPort;
using Bytes = std::vector<std::byte>;

constexpr std::uint8_t kUdp = 17;
constexpr base::IpAddress kOurs = base::IpAddress::v4(10, 77, 0, 1);
constexpr std::uint32_t kForeign = 0x0a4d0009;

bool run(const std::string& command) {
  return std::system((command + " >/dev/null 2>&1").c_str()) == 0;  // NOLINT(cert-env33-c)
}

/// What a frame claims to be.
struct Claim {
  base::MacAddress mac;
  std::uint32_t address = 0x0a4d0001;
  std::uint16_t port = 7;
  std::uint16_t ether_type = 0x0800;
  std::uint8_t protocol = kUdp;
  std::uint16_t fragment = 0x4000;
  std::size_t payload = 20;
};

/// A UDP datagram from `claim` to a stranger.
Bytes frame_from(const Claim& claim) {
  Bytes frame(42 + claim.payload);
  std::byte* at = frame.data();
  for (int i = 0; i < 6; ++i) at[i] = std::byte{0xff};
  std::memcpy(at + 6, claim.mac.bytes.data(), 6);
  base::store_be16(at + 12, claim.ether_type);
  at[14] = std::byte{0x45};
  base::store_be16(at + 16, static_cast<std::uint16_t>(28 + claim.payload));
  base::store_be16(at + 20, claim.fragment);
  at[22] = std::byte{64};
  at[23] = std::byte{claim.protocol};
  base::store_be32(at + 26, claim.address);
  base::store_be32(at + 30, 0x0a4d0002);
  base::store_be16(at + 24, wire::internet_checksum(std::span(frame).subspan(14, 20)));
  base::store_be16(at + 34, claim.port);
  base::store_be16(at + 36, 9);
  base::store_be16(at + 38, static_cast<std::uint16_t>(8 + claim.payload));
  return frame;
}

/// The other way: from a stranger to the device.
Bytes frame_to(const base::MacAddress& mac, std::uint16_t port) {
  Claim stranger;
  stranger.mac = base::MacAddress{{2, 0, 0, 0, 0, 9}};
  stranger.address = 0x0a4d0002;
  Bytes frame = frame_from(stranger);
  std::memcpy(frame.data(), mac.bytes.data(), 6);
  base::store_be32(frame.data() + 30, 0x0a4d0001);
  base::store_be16(frame.data() + 36, port);
  base::store_be16(frame.data() + 24, 0);
  base::store_be16(frame.data() + 24, wire::internet_checksum(std::span(frame).subspan(14, 20)));
  return frame;
}

/// A program that shares rwn0.
class Program {
 public:
  explicit Program(const std::string& spec)
      : pool_(mem::PoolMemory::create("rw-netd-test", 1024).value()) {
    auto client = Client::connect();
    if (!client) {
      error_ = client.error();
      return;
    }
    client_ = std::move(*client);
    const auto options = driver::XdpOptions::parse(port::Spec::parse(spec).value()).value();
    auto lease = client_->open(options, {.memfd = pool_.shared()->fd(),
                                         .offset = 0,
                                         .length = pool_.shared()->size_bytes(),
                                         .chunk = 4096});
    if (!lease) {
      error_ = lease.error();
      return;
    }
    mac_ = lease->queues.mac;
    guarded_ = lease->guarded;
    port_ = XdpPort::adopt(std::move(lease->queues), pool_.pool()).value();
  }

  Client& client() { return *client_; }
  XdpPort& port() { return *port_; }
  bool guarded() const { return guarded_; }
  const base::MacAddress& mac() const { return mac_; }
  const base::Error& error() const { return error_; }
  void send(const Bytes& frame) {
    const mem::FrameDesc desc = pool_.frame(frame);
    EXPECT_EQ(port_->tx_burst({&desc, 1}), 1U);
    port_->reclaim();
  }
  /// Waits for a frame; empty if none comes.
  Bytes receive(int patience_ms = 2000) {
    mem::FrameDesc desc;
    for (int i = 0; i < patience_ms; ++i) {
      if (port_->rx_burst({&desc, 1}) == 1) return pool_.take({&desc, 1});
      ::poll(nullptr, 0, 1);
    }
    return {};
  }

 private:
  port::TestPool pool_;
  std::optional<Client> client_;
  std::unique_ptr<XdpPort> port_;
  base::MacAddress mac_;
  base::Error error_;
  bool guarded_ = false;
};

/// A namespace with rwn0 (10.77.0.1), which a daemon shares, and its peer rwn1.
class NetdTest : public testing::Test {
 protected:
  void SetUp() override {
    auto own = driver::OwnNamespace::enter();
    if (!own) GTEST_SKIP() << own.error().what;
    if (const auto possible = driver::probe_xdp(); !possible) GTEST_SKIP() << possible.error().what;
    namespace_ = std::move(*own);
    run("sysctl -w net.ipv6.conf.default.disable_ipv6=1");
    if (!run("ip link add rwn0 type veth peer name rwn1")) GTEST_SKIP() << "no veth can be made";
    ASSERT_TRUE(run("ip addr add 10.77.0.1/24 dev rwn0") && run("ip link set rwn0 up") &&
                run("ip link set rwn1 up") && run("ip link set lo up"));
    std::string directory = "/tmp/rw-netd-XXXXXX";
    ASSERT_NE(::mkdtemp(directory.data()), nullptr);
    directory_ = directory;
    options_.path = directory_ + "/netd.sock";
    options_.log = [this](std::string_view line) {
      const std::scoped_lock lock(log_mutex_);
      log_ += line;
    };
    ::setenv("RINGWAY_NETD", options_.path.c_str(), 1);
    listen();
    start();
  }
  void TearDown() override {
    stop();
    ::unsetenv("RINGWAY_NETD");
    if (!directory_.empty()) ::rmdir(directory_.c_str());
  }

  void start() {
    auto netd = Netd::open(options_);
    ASSERT_TRUE(netd) << netd.error().what;
    netd_ = std::move(*netd);
    thread_ = std::thread([this] { netd_->run(); });
  }
  void stop() {
    if (!netd_) return;
    netd_->stop();
    thread_.join();
    netd_.reset();
  }
  void listen() {
    peer_.reset(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(::if_nametoindex("rwn1"));
    ASSERT_EQ(::bind(peer_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  void inject(const Bytes& frame) {
    ASSERT_EQ(::send(peer_.get(), frame.data(), frame.size(), 0),
              static_cast<ssize_t>(frame.size()));
  }
  /// What comes out of rwn0; empty if nothing does.
  Bytes collect(int patience_ms = 2000) {
    Bytes bytes(4096);
    for (;;) {
      pollfd p{peer_.get(), POLLIN, 0};
      if (::poll(&p, 1, patience_ms) != 1) return {};
      sockaddr_ll from{};
      socklen_t length = sizeof from;
      const ssize_t n = ::recvfrom(peer_.get(), bytes.data(), bytes.size(), 0,
                                   reinterpret_cast<sockaddr*>(&from), &length);
      if (n < 0) return {};
      if (from.sll_pkttype == PACKET_OUTGOING) continue;
      bytes.resize(static_cast<std::size_t>(n));
      return bytes;
    }
  }
  /// Whether `done` comes true; what happens in the daemon's thread is waited for.
  template <typename F>
  static bool comes_true(F&& done) {
    for (int i = 0; i < 5000 && !done(); ++i) ::poll(nullptr, 0, 1);
    return done();
  }
  static std::string host_end(int number) {
    return fmt::format("rwh{}.{}", ::if_nametoindex("rwn0"), number);
  }
  static bool exists(const std::string& interface) {
    return ::if_nametoindex(interface.c_str()) != 0;
  }
  std::string log() {
    const std::scoped_lock lock(log_mutex_);
    return log_;
  }

  Options options_;
  base::UniqueFd peer_;

 private:
  std::unique_ptr<driver::OwnNamespace> namespace_;
  std::string directory_;
  std::unique_ptr<Netd> netd_;
  std::thread thread_;
  std::mutex log_mutex_;
  std::string log_;
};

constexpr const char* kGuarded = "xdp:rwn0,lease=guarded";

TEST_F(NetdTest, GuardedProgram_CannotSendWhatIsNotItsOwn) {
  Program program(kGuarded);
  ASSERT_TRUE(program.guarded()) << program.error().what;
  ASSERT_TRUE(program.client().lease(kUdp, {kOurs, 7}));
  const Claim honest{.mac = program.mac()};
  program.send(frame_from(honest));
  EXPECT_EQ(collect(), frame_from(honest));
  std::vector<Claim> lies(8, honest);
  lies[0].mac.bytes[5] ^= 1;
  lies[1].address = kForeign;
  lies[2].port = 8;
  lies[3].ether_type = 0x0806;
  lies[4].ether_type = 0x8100;
  lies[5].fragment = 0x2000;
  lies[6].fragment = 0x0010;
  lies[7].protocol = IPPROTO_ICMP;
  for (const Claim& lie : lies) program.send(frame_from(lie));
  program.send(Bytes(14));
  Claim last = honest;
  last.payload = 99;
  program.send(frame_from(last));
  EXPECT_EQ(collect(), frame_from(last)) << "something false came out before it";
}

TEST_F(NetdTest, GuardedPrograms_GetWhatIsLeasedToEach) {
  Program first(kGuarded);
  Program second(kGuarded);
  ASSERT_TRUE(first.guarded() && second.guarded()) << second.error().what;
  ASSERT_TRUE(first.client().lease(kUdp, {kOurs, 7}));
  ASSERT_TRUE(second.client().lease(kUdp, {kOurs, 8}));
  const auto taken = second.client().lease(kUdp, {kOurs, 7});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().os_errno, EADDRINUSE);
  inject(frame_to(first.mac(), 8));
  inject(frame_to(first.mac(), 7));
  EXPECT_EQ(first.receive(), frame_to(first.mac(), 7));
  EXPECT_EQ(second.receive(), frame_to(first.mac(), 8));
  EXPECT_TRUE(first.receive(20).empty());
  // One's port is not the other's to send from.
  second.send(frame_from({.mac = second.mac(), .port = 7}));
  second.send(frame_from({.mac = second.mac(), .port = 8}));
  EXPECT_EQ(collect(), frame_from({.mac = second.mac(), .port = 8}));
}

TEST_F(NetdTest, OwnQueuesAndGuards_GoTogether) {
  Program direct("xdp:rwn0");
  Program guarded("xdp:rwn0");
  ASSERT_TRUE(direct.client().lease(kUdp, {kOurs, 7}));
  ASSERT_TRUE(guarded.client().lease(kUdp, {kOurs, 8}));
  EXPECT_FALSE(direct.guarded()) << "root's first program has the device's queue";
  EXPECT_TRUE(guarded.guarded()) << "the next one does not find it free";
  inject(frame_to(direct.mac(), 7));
  inject(frame_to(direct.mac(), 8));
  EXPECT_EQ(direct.receive(), frame_to(direct.mac(), 7));
  EXPECT_EQ(guarded.receive(), frame_to(direct.mac(), 8));
}

TEST_F(NetdTest, ProgramOverItsRate_IsHeldToIt) {
  stop();
  options_.rate_mbit = 1;
  start();
  {
    Program program(kGuarded);
    ASSERT_TRUE(program.guarded()) << program.error().what;
    ASSERT_TRUE(program.client().lease(kUdp, {kOurs, 7}));
    // Four seconds' worth at this rate.
    for (int i = 0; i < 400; ++i) {
      program.send(frame_from({.mac = program.mac(), .payload = 1200}));
    }
    int passed = 0;
    while (!collect(50).empty()) ++passed;
    EXPECT_GT(passed, 0);
    EXPECT_LT(passed, 400);
  }
  EXPECT_TRUE(comes_true([this] { return log().find("over its rate") != std::string::npos; }));
}

TEST_F(NetdTest, ProgramThatEnds_LeavesNothing) {
  {
    Program program(kGuarded);
    ASSERT_TRUE(program.client().lease(kUdp, {kOurs, 7})) << program.error().what;
    EXPECT_TRUE(exists(host_end(1)));
  }
  EXPECT_TRUE(comes_true([] { return !exists(host_end(1)); }));
  Program next(kGuarded);
  EXPECT_TRUE(next.client().lease(kUdp, {kOurs, 7})) << next.error().what;
  inject(frame_to(next.mac(), 7));
  EXPECT_EQ(next.receive(), frame_to(next.mac(), 7));
}

TEST_F(NetdTest, Successor_LeavesLiveProgramsAloneAndTakesThemBack) {
  Program program(kGuarded);
  ASSERT_TRUE(program.client().lease(kUdp, {kOurs, 7})) << program.error().what;
  stop();
  inject(frame_to(program.mac(), 7));
  EXPECT_EQ(program.receive(), frame_to(program.mac(), 7)) << "without a daemon";
  start();
  const Claim honest{.mac = program.mac()};
  program.send(frame_from(honest));
  EXPECT_EQ(collect(), frame_from(honest)) << "with its successor";
  {
    auto again = Client::connect();
    ASSERT_TRUE(again);
    EXPECT_FALSE(again->join("rwn1"));
    ASSERT_TRUE(again->join("rwn0"));
    ASSERT_TRUE(again->lease(kUdp, {kOurs, 8}));
    inject(frame_to(program.mac(), 8));
    EXPECT_EQ(program.receive(), frame_to(program.mac(), 8));
  }
  EXPECT_TRUE(comes_true([] { return !exists(host_end(1)); })) << "it has hung up";
}

TEST_F(NetdTest, DeviceThatGoes_IsTold) {
  Program guarded(kGuarded);
  Program direct("xdp:rwn0");
  ASSERT_TRUE(guarded.client().lease(kUdp, {kOurs, 7})) << guarded.error().what;
  const std::string end = host_end(1);
  ASSERT_TRUE(run("ip link del rwn0"));
  EXPECT_TRUE(comes_true([&] { return guarded.client().device_gone(); }));
  EXPECT_TRUE(comes_true([&] { return direct.client().device_gone(); }));
  EXPECT_TRUE(comes_true([&] { return !exists(end); }));
}

TEST_F(NetdTest, GuardThatGoes_CostsOnlyItsProgram) {
  Program first(kGuarded);
  Program second(kGuarded);
  ASSERT_TRUE(first.client().lease(kUdp, {kOurs, 7})) << first.error().what;
  ASSERT_TRUE(second.client().lease(kUdp, {kOurs, 8})) << second.error().what;
  ASSERT_TRUE(run("ip link del " + host_end(1)));
  EXPECT_TRUE(comes_true([&] { return first.client().device_gone(); }));
  EXPECT_FALSE(second.client().device_gone());
  EXPECT_TRUE(second.client().lease(kUdp, {kOurs, 7})) << "the port is free again";
  inject(frame_to(second.mac(), 7));
  EXPECT_EQ(second.receive(), frame_to(second.mac(), 7));
}

TEST_F(NetdTest, Guards_FollowTheMtuOfTheirDevice) {
  Program program(kGuarded);
  ASSERT_TRUE(program.client().lease(kUdp, {kOurs, 7})) << program.error().what;
  ASSERT_TRUE(run("ip link set rwn0 mtu 1300"));
  EXPECT_TRUE(comes_true([] {
    return driver::look_at_device(host_end(1)).value_or(driver::DeviceFacts{}).mtu == 1300;
  }));
}

TEST_F(NetdTest, FramesThatCanBeChanged_AreRefused) {
  auto client = Client::connect();
  ASSERT_TRUE(client);
  const base::UniqueFd unsealed(::memfd_create("rw-unsealed", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(unsealed.get(), 1 << 20), 0);
  const auto options = driver::XdpOptions::parse(port::Spec::parse(kGuarded).value()).value();
  EXPECT_FALSE(client->open(options, {unsealed.get(), 0, 1 << 20, 4096}));
  const auto pool = mem::PoolMemory::create("rw-netd-test", 256).value();
  EXPECT_FALSE(client->open(options, {pool->fd(), 0, 1 << 20, 8192}));
  EXPECT_FALSE(client->open(options, {pool->fd(), 4096, 1 << 20, 4096})) << "beyond the end";
  EXPECT_TRUE(client->open(options, {pool->fd(), 0, 1 << 20, 4096}));
}

}  // namespace
}  // namespace ringway::netd
