// ip and udp against the Linux kernel, over a tap in a network namespace of the test's own.

#include "ip/ip.h"

#include <gtest/gtest.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/sys.h"
#include "driver/tap/tap_port.h"
#include "udp/udp.h"
#include "wire/packet_view.h"

namespace ringway {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint16_t kEchoPort = 7;

template <typename T>
struct Zeroed {
  T* value = static_cast<T*>(std::calloc(1, sizeof(T)));
  ~Zeroed() { std::free(value); }
};

base::Instant now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return {t.tv_sec * 1'000'000'000 + t.tv_nsec};
}

/// A frame pool with its memory.
struct Pool {
  Pool(std::uint32_t count, std::uint32_t bytes)
      : state{bytes, count, 0, 0, 0, 0}, memory(std::size_t{count} * bytes) {}
  mem::FramePoolState state;
  Bytes memory;
  mem::FramePool frames{&state, memory.data()};
};

/// What a stack does with ip and udp, no more: a host with a UDP socket on port 7 that echoes.
class Host {
 public:
  explicit Host(std::unique_ptr<port::Port> tap, Pool& pool)
      : tap_(std::move(tap)), pool_(pool), batch_(tap_.get(), &pool.frames, nullptr, 0) {
    arena_.frames.allocate();  // slot 0 means "none"
    regions_->set(0, arena_.frames.view());
    outputs_.batches[1] = &batch_;
    ip.set_interface(1, tap_->caps());
    ip.add_address(1, *base::parse_prefix("10.77.0.1/24"));
    ip.add_address(1, *base::parse_prefix("fd77::1/64"));
    socket = udp.open(1, {}).index;
    EXPECT_EQ(udp.bind(socket, {base::IpAddress::any_v6(), kEchoPort}), 0);
  }

  int fd() { return *tap_->arm(); }

  void turn() {
    std::array<mem::FrameDesc, 32> burst{};
    const std::size_t n = tap_->rx_burst(burst);
    for (std::size_t i = 0; i < n; ++i) {
      receive(burst[i]);
      pool_.frames.free(burst[i].slot);
    }
    ip.poll(now(), outputs_);
    if (echo) echo_all();
    refresh_paths();
    udp.output();
    batch_.flush();
  }

  /// Path 1 is for IPv4, 2 for IPv6.
  std::uint32_t path_to(const base::IpAddress& remote) {
    const std::uint32_t index = remote.is_v4() ? 1 : 2;
    ip.make_path(remote, {}, now(), outputs_, paths_[index]);
    paths_[index].port = 0;
    return index;
  }

  bool echo = true;
  std::uint32_t socket = 0;

 private:
  void receive(const mem::FrameDesc& desc) {
    const std::span<const std::byte> frame(pool_.frames.data(desc.slot) + desc.offset, desc.length);
    const bool trusted = (desc.flags & mem::kFrameCsumOk) != 0;
    wire::PacketView view;
    ASSERT_EQ(wire::parse_frame(frame, {.checksums_trusted = trusted}, view),
              wire::ParseDrop::kNone);
    const ip::Verdict verdict = ip.input({1, frame, view, batch_}, now());
    if (verdict.action == ip::Verdict::Action::kError) {
      const auto& q = verdict.error.quoted;
      udp.on_icmp_error({q.src, q.src_port}, {q.dst, q.dst_port}, ECONNREFUSED);
    }
    const bool for_udp =
        verdict.action == ip::Verdict::Action::kDeliver && view.protocol == wire::Protocol::kUdp;
    if (!for_udp) return;
    udp::Arrival arrival;
    arrival.data = verdict.frame.data() + view.l4_offset;
    arrival.length = view.l4_length();
    arrival.must_copy = true;
    arrival.local = view.dst;
    arrival.remote = view.src;
    if (udp.input(arrival) == udp::Outcome::kNoSocket) {
      ip.send_port_unreachable({1, verdict.frame, view, batch_}, now());
    }
  }

  void echo_all() {
    std::vector<char> bytes(70'000);
    iovec room{bytes.data(), bytes.size()};
    udp::Message message;
    for (;;) {
      const udp::Io in = udp.recv(socket, {&room, 1}, false, message);
      if (in.error != 0) return;
      const iovec back{bytes.data(), in.bytes};
      const auto path = path_to(message.remote.address);
      EXPECT_EQ(udp.send_to(socket, {&back, 1}, message.remote, path).error, 0);
    }
  }

  void refresh_paths() {
    for (const std::uint32_t index : {1U, 2U}) {
      if ((paths_[index].flags & port::kPathPending) != 0) path_to(paths_[index].remote);
    }
  }

  static bool cut(void* context, port::Path& path, std::span<const std::byte> l4,
                  port::TxBatch& out) {
    return static_cast<ip::Ip*>(context)->send_fragments(path, IPPROTO_UDP, l4, out);
  }

  std::unique_ptr<port::Port> tap_;
  Pool& pool_;
  Pool arena_{1024, 4096};
  std::unique_ptr<mem::RegionTable> regions_ = std::make_unique<mem::RegionTable>();
  Zeroed<mem::CellSlab> cells_;
  Zeroed<ip::State> ip_state_;
  Zeroed<udp::UdpState> udp_state_;
  port::TxBatch batch_;
  port::TxBatch* tx_ = &batch_;
  std::array<port::Path, 4> paths_{};
  ip::Outputs outputs_;
  Bytes scratch_ = Bytes(ip::Reassembly::kScratchBytes);
  Bytes cut_scratch_ = Bytes(65'536);
  mem::Buffers buffers_{cells_.value, &arena_.frames, regions_.get()};

 public:
  ip::Ip ip{*ip_state_.value, buffers_, scratch_};
  udp::Udp udp{*udp_state_.value, buffers_, {paths_.data(), &tx_, &Host::cut, &ip, cut_scratch_}};
};

struct Case {
  bool v6;
  bool offload;
};

class KernelIp : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    // With a user namespace, no right at all is needed, where the system allows one.
    if (::unshare(CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
      GTEST_SKIP() << "no right to make a network namespace";
    }
    // Its address is usable at once then; else the tests wait for duplicate address detection.
    std::ofstream("/proc/sys/net/ipv6/conf/default/dad_transmits") << "0";
    driver::TapOptions options;
    options.name = "rw0";
    options.offload = GetParam().offload;
    options.kernel_ip = *base::parse_prefix("10.77.0.2/24");
    options.kernel_ip6 = *base::parse_prefix("fd77::2/64");
    auto tap = driver::TapPort::open(options, pool_.frames);
    if (!tap) GTEST_SKIP() << tap.error().what;
    host_ = std::make_unique<Host>(std::move(*tap), pool_);
    ASSERT_TRUE(turn_until(-1, [&] { return kernel_is_ready(); }));
  }
  bool kernel_is_ready() const {
    const base::UniqueFd fd = kernel_socket(SOCK_DGRAM, 0);
    sockaddr_storage here;
    const socklen_t length = fill({kernels(), 0}, here);
    return ::bind(fd.get(), reinterpret_cast<sockaddr*>(&here), length) == 0;
  }
  void TearDown() override {
    host_.reset();
    EXPECT_EQ(pool_.frames.free_count(), pool_.frames.size());
  }

  base::IpAddress ours() const { return *base::parse_ip(GetParam().v6 ? "fd77::1" : "10.77.0.1"); }
  base::IpAddress kernels() const {
    return *base::parse_ip(GetParam().v6 ? "fd77::2" : "10.77.0.2");
  }
  socklen_t fill(const base::Endpoint& e, sockaddr_storage& out) const {
    out = {};
    if (GetParam().v6) {
      auto* a = reinterpret_cast<sockaddr_in6*>(&out);
      a->sin6_family = AF_INET6;
      a->sin6_port = htons(e.port);
      std::memcpy(&a->sin6_addr, e.address.bytes.data(), 16);
      return sizeof *a;
    }
    auto* a = reinterpret_cast<sockaddr_in*>(&out);
    a->sin_family = AF_INET;
    a->sin_port = htons(e.port);
    std::memcpy(&a->sin_addr, e.address.bytes.data() + 12, 4);
    return sizeof *a;
  }
  base::UniqueFd kernel_socket(int type, int protocol) const {
    return base::UniqueFd(::socket(GetParam().v6 ? AF_INET6 : AF_INET, type, protocol));
  }
  base::UniqueFd connected(std::uint16_t port) const {
    base::UniqueFd fd = kernel_socket(SOCK_DGRAM, 0);
    sockaddr_storage to;
    const socklen_t length = fill({ours(), port}, to);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), length), 0);
    return fd;
  }
  /// Turns until `done` holds; false after ten seconds.
  template <typename Done>
  bool turn_until(int fd, Done&& done) {
    const base::Instant end = now() + base::Duration::seconds(10);
    while (now() < end) {
      host_->turn();
      if (done()) return true;
      pollfd fds[2] = {{host_->fd(), POLLIN, 0}, {fd, POLLIN, 0}};
      ::poll(fds, fd >= 0 ? 2 : 1, 20);
    }
    return false;
  }
  /// What the kernel's socket gets next.
  ssize_t answer(int fd, Bytes& room) {
    ssize_t n = -1;
    turn_until(fd, [&] {
      n = ::recv(fd, room.data(), room.size(), MSG_DONTWAIT);
      return n >= 0 || errno != EAGAIN;
    });
    return n;
  }

  Pool pool_{512, 4096};
  std::unique_ptr<Host> host_;
};

TEST_P(KernelIp, Datagrams_ComeBackWhole) {
  const auto fd = connected(kEchoPort);
  for (const std::size_t size : {0U, 1U, 1000U, 1452U, 1473U, 5000U, 60'000U}) {
    Bytes out(size);
    for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::byte>(i * 31);
    ASSERT_EQ(::send(fd.get(), out.data(), out.size(), 0), static_cast<ssize_t>(size));
    Bytes in(70'000);
    ASSERT_EQ(answer(fd.get(), in), static_cast<ssize_t>(size)) << std::strerror(errno);
    in.resize(size);
    EXPECT_EQ(in, out);
  }
}

TEST_P(KernelIp, ClosedPortOfOurs_RefusesTheKernel) {
  const auto fd = connected(9);
  ASSERT_EQ(::send(fd.get(), "x", 1, 0), 1);
  Bytes in(10);
  EXPECT_EQ(answer(fd.get(), in), -1);
  EXPECT_EQ(errno, ECONNREFUSED);
}

TEST_P(KernelIp, Ping_IsAnswered) {
  const bool v6 = GetParam().v6;
  const auto fd = kernel_socket(SOCK_RAW, v6 ? int{IPPROTO_ICMPV6} : int{IPPROTO_ICMP});
  ASSERT_TRUE(fd) << std::strerror(errno);
  if (v6) {
    icmp6_filter only{};
    ICMP6_FILTER_SETBLOCKALL(&only);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &only);
    ASSERT_EQ(::setsockopt(fd.get(), IPPROTO_ICMPV6, ICMP6_FILTER, &only, sizeof only), 0);
  }
  Bytes message(4000, std::byte{0x5a});
  wire::IcmpHeader{static_cast<std::uint8_t>(v6 ? 128 : 8), 0, wire::IcmpHeader::echo_rest(1, 2)}
      .emit(message.data());
  wire::finish_icmp(message);  // for ICMPv6 the kernel sums up itself
  sockaddr_storage to;
  const socklen_t length = fill({ours(), 0}, to);
  ASSERT_EQ(::sendto(fd.get(), message.data(), message.size(), 0, reinterpret_cast<sockaddr*>(&to),
                     length),
            static_cast<ssize_t>(message.size()));
  Bytes in(5000);
  const ssize_t n = answer(fd.get(), in);
  const std::size_t ip_header = v6 ? 0 : 20;
  ASSERT_EQ(n, static_cast<ssize_t>(message.size() + ip_header));
  EXPECT_EQ(in[ip_header], static_cast<std::byte>(v6 ? 129 : 0));
  EXPECT_EQ(Bytes(in.begin() + static_cast<std::ptrdiff_t>(ip_header) + 8, in.begin() + n),
            Bytes(message.begin() + 8, message.end()));
}

TEST_P(KernelIp, FirstDatagramToTheKernel_WaitsForItsNeighbourAndArrives) {
  const auto fd = kernel_socket(SOCK_DGRAM, 0);
  sockaddr_storage here;
  const socklen_t length =
      fill({GetParam().v6 ? base::IpAddress::any_v6() : kernels(), 5000}, here);
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&here), length), 0);
  char text[] = "hello";
  const iovec v{text, 5};
  const auto path = host_->path_to(kernels());
  ASSERT_EQ(host_->udp.send_to(host_->socket, {&v, 1}, {kernels(), 5000}, path).bytes, 5U);
  Bytes in(10);
  ASSERT_EQ(answer(fd.get(), in), 5);
  EXPECT_EQ(std::memcmp(in.data(), text, 5), 0);
}

TEST_P(KernelIp, ClosedPortOfTheKernel_RefusesUs) {
  const auto path = host_->path_to(kernels());
  host_->echo = false;
  ASSERT_EQ(host_->udp.connect(host_->socket, ours(), {kernels(), 5001}, path), 0);
  char text[] = "hello";
  const iovec v{text, 5};
  ASSERT_EQ(host_->udp.send(host_->socket, {&v, 1}).bytes, 5U);
  EXPECT_TRUE(turn_until(-1, [&] { return host_->udp.error(host_->socket) == ECONNREFUSED; }));
}

INSTANTIATE_TEST_SUITE_P(Families, KernelIp,
                         ::testing::Values(Case{false, false}, Case{false, true}, Case{true, false},
                                           Case{true, true}),
                         [](const auto& c) {
                           return std::string(c.param.v6 ? "V6" : "V4") +
                                  (c.param.offload ? "Offload" : "Plain");
                         });

}  // namespace
}  // namespace ringway
