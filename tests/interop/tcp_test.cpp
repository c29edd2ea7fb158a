// tcp against the Linux kernel's, over a tap in a network namespace of the test's own; also over a
// wire that loses frames in both directions.

#include "tcp/tcp.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <vector>

#include "base/random.h"
#include "base/sys.h"
#include "driver/tap/tap_port.h"
#include "ip/ip.h"
#include "tcp/zeroed.h"
#include "wire/packet_view.h"

namespace ringway {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::uint16_t kPort = 7;
constexpr std::size_t kStream = 3'000'000;

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

/// A port that loses frames both ways, by a seed.
class LossyPort final : public port::Port {
 public:
  LossyPort(std::unique_ptr<port::Port> inner, mem::FramePool* pool, std::uint32_t loss_ppm)
      : inner_(std::move(inner)), pool_(pool), loss_ppm_(loss_ppm) {}
  std::string_view name() const override { return inner_->name(); }
  const port::Caps& caps() const override { return inner_->caps(); }
  std::size_t reclaim() override { return inner_->reclaim(); }
  base::Result<int> arm() override { return inner_->arm(); }
  std::size_t rx_burst(std::span<mem::FrameDesc> out) override {
    const std::size_t n = inner_->rx_burst(out);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (random_.chance_ppm(loss_ppm_)) {
        pool_->free(out[i].slot);
      } else {
        out[kept++] = out[i];
      }
    }
    return kept;
  }
  std::size_t tx_burst(std::span<const mem::FrameDesc> packets) override {
    std::size_t n = 0;
    for (; n < packets.size(); ++n) {
      if (random_.chance_ppm(loss_ppm_)) {
        pool_->free(packets[n].slot);
      } else if (inner_->tx_burst(packets.subspan(n, 1)) == 0) {
        break;
      }
    }
    return n;
  }

 private:
  std::unique_ptr<port::Port> inner_;
  mem::FramePool* pool_;
  std::uint32_t loss_ppm_;
  base::Random random_ = base::Random::seeded(5);
};

/// What a stack does with ip and tcp, no more.
class Host {
 public:
  Host(std::unique_ptr<port::Port> tap, Pool& pool)
      : tap_(std::move(tap)), pool_(pool), batch_(tap_.get(), &pool.frames, nullptr, 0) {
    arena_.frames.allocate();  // slot 0 means "none"
    regions_->set(0, arena_.frames.view());
    outputs_.batches[1] = &batch_;
    ip.set_interface(1, tap_->caps());
    ip.add_address(1, *base::parse_prefix("10.77.0.1/24"));
    ip.add_address(1, *base::parse_prefix("fd77::1/64"));
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
    for (const std::uint32_t index : {1U, 2U}) {
      if ((paths_[index].flags & port::kPathPending) != 0) path_to(paths_[index].remote);
    }
    tcp.on_timers(now());
    batch_.flush();
    batch_.take_room();
    tcp.output(now());
    batch_.flush();
    tcp::Event event;
    while (tcp.next_event(event)) {
    }
  }
  /// Path 1 is for IPv4, 2 for IPv6.
  std::uint32_t path_to(const base::IpAddress& remote) {
    const std::uint32_t index = remote.is_v4() ? 1 : 2;
    const std::uint32_t users = paths_[index].users;
    ip.make_path(remote, {}, now(), outputs_, paths_[index]);
    paths_[index].port = 0;
    paths_[index].users = users;
    return index;
  }

 private:
  void receive(const mem::FrameDesc& desc) {
    const std::span<const std::byte> frame(pool_.frames.data(desc.slot) + desc.offset, desc.length);
    const bool trusted = (desc.flags & mem::kFrameCsumOk) != 0;
    wire::PacketView view;
    const auto drop = wire::parse_frame(frame, {.checksums_trusted = trusted}, view);
    if (drop != wire::ParseDrop::kNone) return;
    const ip::Verdict verdict = ip.input({1, frame, view, batch_}, now());
    if (verdict.action != ip::Verdict::Action::kDeliver) return;
    if (view.protocol != wire::Protocol::kTcp) return;
    tcp::Segment s;
    s.data = verdict.frame.data() + view.l4_offset;
    s.length = view.l4_length();
    s.must_copy = true;
    const base::Endpoint local{view.dst, view.dst_port};
    const std::uint32_t found = tcp.find(local, {view.src, view.src_port});
    if (found != 0 && !tcp.input(found, s, now())) return;
    const std::uint32_t path = path_to(view.src);
    const std::uint32_t listener = tcp.find_listener(local);
    listener != 0 ? tcp.on_syn(listener, s, path, now()) : tcp.reject(s, path);
  }

  std::unique_ptr<port::Port> tap_;
  Pool& pool_;
  Pool arena_{4096, 4096};
  std::unique_ptr<mem::RegionTable> regions_ = std::make_unique<mem::RegionTable>();
  tcp::Zeroed<mem::CellSlab> cells_ = tcp::make_zeroed<mem::CellSlab>();
  tcp::Zeroed<ip::State> ip_state_ = tcp::make_zeroed<ip::State>();
  tcp::Zeroed<tcp::TcpState> tcp_state_ = tcp::make_zeroed<tcp::TcpState>();
  port::TxBatch batch_;
  port::TxBatch* tx_ = &batch_;
  std::array<port::Path, 4> paths_{};
  ip::Outputs outputs_;
  Bytes scratch_ = Bytes(ip::Reassembly::kScratchBytes);
  mem::Buffers buffers_{cells_.get(), &arena_.frames, regions_.get()};

 public:
  ip::Ip ip{*ip_state_, buffers_, scratch_};
  tcp::Tcp tcp{*tcp_state_, buffers_, {paths_.data(), &tx_}};
};

struct Case {
  const char* name;
  bool v6;
  bool offload;
  std::uint32_t loss_ppm;
};

std::byte pattern(std::size_t at, unsigned who) {
  return static_cast<std::byte>(base::Random::mix(at / 8 + who) >> (at % 8 * 8));
}

class KernelTcp : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (::unshare(CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
      GTEST_SKIP() << "no right to make a network namespace";
    }
    std::ofstream("/proc/sys/net/ipv6/conf/default/dad_transmits") << "0";
    driver::TapOptions options;
    options.name = "rw0";
    options.offload = GetParam().offload;
    options.kernel_ip = *base::parse_prefix("10.77.0.2/24");
    options.kernel_ip6 = *base::parse_prefix("fd77::2/64");
    auto tap = driver::TapPort::open(options, pool_.frames);
    if (!tap) GTEST_SKIP() << tap.error().what;
    host_ = std::make_unique<Host>(
        std::make_unique<LossyPort>(std::move(*tap), &pool_.frames, GetParam().loss_ppm), pool_);
    ASSERT_TRUE(turn_until([&] { return bound_socket().get() >= 0; }));
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
  /// A kernel socket bound to kPort; invalid while the address is not usable yet.
  base::UniqueFd bound_socket() const {
    base::UniqueFd fd(::socket(GetParam().v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_storage here;
    const socklen_t length = fill({kernels(), kPort}, here);
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&here), length) != 0) return base::UniqueFd();
    return fd;
  }
  template <typename Done>
  bool turn_until(Done&& done) {
    const base::Instant end = now() + base::Duration::seconds(60);
    while (now() < end) {
      host_->turn();
      if (done()) return true;
      pollfd fd{host_->fd(), POLLIN, 0};
      ::poll(&fd, 1, 1);
    }
    return false;
  }
  /// Both ends send kStream bytes at the same time, shut down, read the other's end and close.
  void exchange(int fd, std::uint32_t connection);
  bool kernel_step(int fd);
  bool our_step(std::uint32_t connection);

  Pool pool_{1024, 4096};
  std::unique_ptr<Host> host_;
  Bytes buffer_ = Bytes(65'536);
  std::size_t kernel_sent_ = 0, kernel_got_ = 0, sent_ = 0, got_ = 0;
  bool kernel_end_ = false, end_ = false;
};

bool KernelTcp::kernel_step(int fd) {
  while (kernel_sent_ < kStream) {
    const std::size_t n = std::min(buffer_.size(), kStream - kernel_sent_);
    for (std::size_t i = 0; i < n; ++i) buffer_[i] = pattern(kernel_sent_ + i, 1);
    const ssize_t done = ::send(fd, buffer_.data(), n, MSG_NOSIGNAL);
    if (done < 0) break;
    kernel_sent_ += static_cast<std::size_t>(done);
    if (kernel_sent_ == kStream) ::shutdown(fd, SHUT_WR);
  }
  for (;;) {
    const ssize_t n = ::recv(fd, buffer_.data(), buffer_.size(), 0);
    if (n < 0) break;
    if (n == 0) {
      kernel_end_ = true;
      break;
    }
    for (ssize_t i = 0; i < n; ++i) {
      if (buffer_[static_cast<std::size_t>(i)] != pattern(kernel_got_++, 2)) return false;
    }
  }
  return true;
}

bool KernelTcp::our_step(std::uint32_t connection) {
  while (sent_ < kStream) {
    const std::size_t n = std::min(buffer_.size(), kStream - sent_);
    for (std::size_t i = 0; i < n; ++i) buffer_[i] = pattern(sent_ + i, 2);
    const iovec v{buffer_.data(), n};
    const tcp::Io io = host_->tcp.send(connection, {&v, 1}, false, now());
    if (io.error != 0) break;
    sent_ += io.bytes;
    if (sent_ == kStream) host_->tcp.shutdown_write(connection, now());
  }
  for (;;) {
    const iovec v{buffer_.data(), buffer_.size()};
    const tcp::Io io = host_->tcp.recv(connection, {&v, 1}, false, now());
    if (io.error != 0) break;
    if (io.bytes == 0) {
      end_ = true;
      break;
    }
    for (std::size_t i = 0; i < io.bytes; ++i) {
      if (buffer_[i] != pattern(got_++, 1)) return false;
    }
  }
  return true;
}

void KernelTcp::exchange(int fd, std::uint32_t connection) {
  bool good = true;
  const bool done = turn_until([&] {
    good = kernel_step(fd) && our_step(connection);
    return !good || (kernel_end_ && end_);
  });
  EXPECT_TRUE(good) << "a wrong byte";
  EXPECT_TRUE(done) << "the kernel sent " << kernel_sent_ << " and got " << kernel_got_
                    << ", we sent " << sent_ << " and got " << got_;
  EXPECT_EQ(kernel_got_, kStream);
  EXPECT_EQ(got_, kStream);
  host_->tcp.close(connection, now());
}

TEST_P(KernelTcp, KernelConnects_StreamsBothWays) {
  const std::uint32_t listener =
      host_->tcp.listen({base::IpAddress::any_v6(), kPort}, 5, 1, {}).index;
  base::UniqueFd fd(::socket(GetParam().v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  sockaddr_storage to;
  const socklen_t length = fill({ours(), kPort}, to);
  ASSERT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), length), -1);
  std::uint32_t connection = 0;
  ASSERT_TRUE(turn_until([&] { return (connection = host_->tcp.accept(listener)) != 0; }));
  exchange(fd.get(), connection);
}

TEST_P(KernelTcp, WeConnect_StreamsBothWays) {
  const base::UniqueFd listener = bound_socket();
  ASSERT_EQ(::listen(listener.get(), 5), 0);
  const auto opened = host_->tcp.connect({ours(), 40'000}, {kernels(), kPort},
                                         host_->path_to(kernels()), 1, {}, now());
  ASSERT_EQ(opened.error, 0);
  base::UniqueFd fd;
  ASSERT_TRUE(turn_until([&] {
    fd = base::UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
    return fd.get() >= 0;
  }));
  EXPECT_TRUE(host_->tcp.info(opened.index).timestamps);
  EXPECT_TRUE(host_->tcp.info(opened.index).sack);
  exchange(fd.get(), opened.index);
}

TEST_P(KernelTcp, ClosedPorts_RefuseBothWays) {
  const auto opened =
      host_->tcp.connect({ours(), 40'000}, {kernels(), 9}, host_->path_to(kernels()), 1, {}, now());
  EXPECT_TRUE(turn_until([&] { return (host_->tcp.readiness(opened.index) & EPOLLHUP) != 0; }));
  EXPECT_EQ(host_->tcp.error(opened.index), ECONNREFUSED);
  host_->tcp.close(opened.index, now());
  base::UniqueFd fd(::socket(GetParam().v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  sockaddr_storage to;
  const socklen_t length = fill({ours(), 9}, to);
  ASSERT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), length), -1);
  int error = 0;
  EXPECT_TRUE(turn_until([&] {
    pollfd p{fd.get(), POLLOUT, 0};
    return ::poll(&p, 1, 0) == 1;
  }));
  socklen_t size = sizeof error;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  EXPECT_EQ(error, ECONNREFUSED);
}

INSTANTIATE_TEST_SUITE_P(Taps, KernelTcp,
                         ::testing::Values(Case{"v4", false, false, 0}, Case{"v6", true, false, 0},
                                           Case{"offload", false, true, 0},
                                           Case{"lossy", false, false, 10'000}),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace ringway
