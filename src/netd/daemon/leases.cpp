// What a program may have: queues, ports, neighbours.

#include <fmt/format.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "base/sys.h"
#include "driver/xdp/xdp_device.h"
#include "mem/arena.h"
#include "netd/daemon/netd.h"
#include "netd/daemon/wire.h"

namespace ringway::netd {

namespace sys = base::sys;
using base::ErrorCode;
using base::Result;
using driver::xdp::Steering;

namespace {

constexpr std::uint64_t kMostFrameBytes = std::uint64_t{256} << 20;
/// Outgoing connections: above what the kernel itself takes by default (ip_local_port_range).
constexpr std::uint32_t kFirstBlock = 61'056;
constexpr std::uint16_t kBlockPorts = 64;

tl::unexpected<base::Error> refuse(int number, std::string what) {
  return tl::unexpected(base::Error{ErrorCode::kSystem, number, std::move(what)});
}

/// The frames of a program for as long as they are registered.
class Mapped {
 public:
  Mapped(int memfd, const Request& request)
      : length_(request.length),
        at_(::mmap(nullptr, request.length, PROT_READ | PROT_WRITE, MAP_SHARED, memfd,
                   static_cast<off_t>(request.offset))) {}
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  ~Mapped() {
    if (at_ != MAP_FAILED) ::munmap(at_, length_);
  }
  std::byte* at() const { return at_ != MAP_FAILED ? static_cast<std::byte*>(at_) : nullptr; }

 private:
  std::size_t length_;
  void* at_;
};

Result<void> check_frames(const Request& request, int memfd) {
  if (memfd < 0) return refuse(EBADF, "frames are missing");
  const auto size = mem::check_sealed(memfd);
  if (!size) return tl::unexpected(size.error());
  const bool sane = (request.chunk == 2048 || request.chunk == 4096) &&
                    request.offset % 4096 == 0 && request.length != 0 &&
                    request.length % request.chunk == 0 && request.length <= kMostFrameBytes &&
                    request.offset <= *size && request.length <= *size - request.offset;
  if (!sane) return refuse(EINVAL, "frames of this size and place cannot be shared with a device");
  return {};
}

std::uint32_t first_unprivileged_port() {
  const base::UniqueFd file(
      sys::openat(AT_FDCWD, "/proc/sys/net/ipv4/ip_unprivileged_port_start", O_RDONLY | O_CLOEXEC));
  std::array<char, 16> text{};
  const ssize_t n = file ? sys::read(file.get(), text.data(), text.size()) : -1;
  std::uint32_t value = 1024;
  if (n > 0) std::from_chars(text.data(), text.data() + n, value);
  return value;
}

/// Keeps a port from the kernel's own programs, and finds out whether one of them has it.
Result<base::UniqueFd> reserve(std::uint8_t protocol, const base::Endpoint& at) {
  const bool v4 = at.address.is_v4();
  base::UniqueFd fd(sys::socket(v4 ? AF_INET : AF_INET6,
                                (protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC,
                                0));
  if (!fd) return base::fail_errno("no socket to reserve a port");
  int result;
  if (v4) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(at.port);
    address.sin_addr.s_addr = htonl(at.address.to_v4());
    result = sys::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } else {
    const int on = 1;
    sys::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(at.port);
    std::memcpy(&address.sin6_addr, at.address.bytes.data(), 16);
    result = sys::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  if (result == 0) return fd;
  if (errno == EADDRINUSE) {
    return refuse(EADDRINUSE, fmt::format("{} is a kernel program's: `ss -ltnup` shows whose",
                                          base::to_string(at)));
  }
  return base::fail_errno("cannot reserve " + base::to_string(at));
}

}  // namespace

Result<Netd::Device*> Netd::device_of(const std::string& name, Steering::Attach attach) {
  const auto facts = driver::look_at_device(name);
  if (!facts) return refuse(ENODEV, facts.error().what);
  auto& device = devices_[facts->index];
  if (device) {
    drop_dead_leases(*device);
    return device.get();
  }
  auto steering = Steering::open({name, facts->index, attach, pin_of(facts->index)});
  if (!steering) {
    devices_.erase(facts->index);
    return tl::unexpected(steering.error());
  }
  device = std::make_unique<Device>();
  device->name = name;
  device->index = facts->index;
  device->steering = std::move(*steering);
  drop_dead_leases(*device);
  return device.get();
}

/// A session's own leases end with the session: forked processes may hold it for the one that made
/// it.
void Netd::drop_dead_leases(Device& device) const {
  for (const auto& [key, lease] : device.steering->leases()) {
    const bool held = std::any_of(sessions_.begin(), sessions_.end(), [&](const auto& session) {
      return session->device == &device && session->leases.contains(key);
    });
    if (!held && start_time_of(lease.pid) != lease.start_time) device.steering->drop_lease(key);
  }
}

Result<Answer> Netd::open_queues(Session& session, const Request& request, int memfd,
                                 std::vector<base::UniqueFd>& fds) {
  if (session.device != nullptr) return refuse(EBUSY, "this program has a device already");
  const std::string name = request.device.data();
  if (session.uid != 0 && !options_.trusted.contains(session.uid)) {
    return refuse(EACCES, fmt::format("user {} may not have the queues of {}: whoever has them can "
                                      "send anything; start ringway-netd with --trust {}",
                                      session.uid, name, session.uid));
  }
  if (auto sane = check_frames(request, memfd); !sane) return tl::unexpected(sane.error());
  const auto facts = driver::look_at_device(name);
  if (!facts) return refuse(ENODEV, facts.error().what);
  if (request.copy > 2 || request.attach > 2) return refuse(EINVAL, "no such mode");
  driver::XdpOptions options;
  options.device = name;
  options.queue = request.queue;
  options.copy = static_cast<driver::xdp::CopyMode>(request.copy);
  options.attach = static_cast<Steering::Attach>(request.attach);
  const Mapped frames(memfd, request);
  if (frames.at() == nullptr) return base::fail_errno("frames cannot be mapped");
  auto device = device_of(name, options.attach);
  if (!device) return tl::unexpected(device.error());
  auto queues = driver::bind_queues(*facts, options, {frames.at(), request.length, request.chunk});
  if (!queues) {
    if ((*device)->sessions == 0) let_go(**device);
    return tl::unexpected(queues.error());
  }
  const auto first = static_cast<std::uint32_t>(options.queue < 0 ? 0 : options.queue);
  for (std::size_t i = 0; i < queues->sockets.size(); ++i) {
    const auto set = (*device)->steering->set_socket(first + static_cast<std::uint32_t>(i),
                                                     queues->sockets[i].get());
    if (!set) return tl::unexpected(set.error());
  }
  session.device = *device;
  ++(*device)->sessions;
  Answer answer;
  answer.index = facts->index;
  answer.mac = queues->mac.bytes;
  answer.mtu = queues->mtu;
  answer.zero_copy = queues->binding.zero_copy ? 1 : 0;
  answer.pieces = queues->binding.pieces ? 1 : 0;
  answer.tx_checksum = queues->binding.tx_checksum ? 1 : 0;
  answer.unfinished_checksums = queues->unfinished_checksums ? 1 : 0;
  answer.native = (*device)->steering->native() ? 1 : 0;
  fds = std::move(queues->sockets);
  return answer;
}

/// The sockets are the program's already; what it has is in the pinned map.
Result<Answer> Netd::join(Session& session, const Request& request) {
  if (session.device != nullptr) return refuse(EBUSY, "this program has a device already");
  if (session.uid != 0 && !options_.trusted.contains(session.uid)) {
    return refuse(EACCES, fmt::format("user {} may not have queues of a device", session.uid));
  }
  auto device = device_of(request.device.data(), Steering::Attach::kAuto);
  if (!device) return tl::unexpected(device.error());
  for (const auto& [key, lease] : (*device)->steering->leases()) {
    if (lease.pid != session.pid) continue;
    base::Endpoint at;
    std::memcpy(at.address.bytes.data(), key.address, sizeof key.address);
    at.port = ntohs(key.port);
    auto reserved = reserve(key.protocol, at);
    session.leases[key] = reserved ? std::move(*reserved) : base::UniqueFd();
  }
  session.device = *device;
  ++(*device)->sessions;
  return Answer{};
}

Result<void> Netd::lease(Session& session, std::uint8_t protocol, const base::Endpoint& at) {
  if ((protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) || at.port == 0 || at.address.is_any()) {
    return refuse(EINVAL, "no address and port that can be leased");
  }
  if (session.uid != 0 && at.port < first_unprivileged_port()) {
    return refuse(EACCES, fmt::format("port {} is for root: sysctl -w "
                                      "net.ipv4.ip_unprivileged_port_start={}",
                                      at.port, at.port));
  }
  const rw_lease_key key = Steering::key(at.address, protocol, at.port);
  if (session.leases.contains(key)) return {};
  auto reserved = reserve(protocol, at);
  if (!reserved) return tl::unexpected(reserved.error());
  const auto set = session.device->steering->set_lease(key, {session.pid, 0, session.start_time});
  if (!set) return set;
  session.leases[key] = std::move(*reserved);
  return {};
}

Result<Answer> Netd::block(Session& session, const Request& request) {
  for (std::uint32_t first = kFirstBlock; first + kBlockPorts <= 65'536; first += kBlockPorts) {
    std::uint16_t got = 0;
    for (; got < kBlockPorts; ++got) {
      const base::Endpoint at{request.address, static_cast<std::uint16_t>(first + got)};
      const auto key = Steering::key(at.address, request.protocol, at.port);
      if (session.leases.contains(key) || !lease(session, request.protocol, at)) break;
    }
    if (got == kBlockPorts) {
      Answer answer;
      answer.port = static_cast<std::uint16_t>(first);
      answer.count = kBlockPorts;
      return answer;
    }
    for (std::uint16_t i = 0; i < got; ++i) {
      const auto key =
          Steering::key(request.address, request.protocol, static_cast<std::uint16_t>(first + i));
      session.leases.erase(key);
      session.device->steering->drop_lease(key);
    }
  }
  return refuse(EADDRNOTAVAIL, "no block of ports is free on " + session.device->name);
}

/// Makes the kernel ask, as if one of its own packets went there (NTF_USE).
Result<void> Netd::resolve(const Session& session, const base::IpAddress& address) const {
  struct {
    nlmsghdr header;
    ndmsg neighbour;
    rtattr attribute;
    std::array<std::uint8_t, 16> destination;
  } message{};
  const bool v4 = address.is_v4();
  const std::size_t bytes = v4 ? 4 : 16;
  message.header.nlmsg_len =
      static_cast<std::uint32_t>(NLMSG_LENGTH(sizeof message.neighbour) + RTA_LENGTH(bytes));
  message.header.nlmsg_type = RTM_NEWNEIGH;
  message.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE;
  message.neighbour.ndm_family = v4 ? AF_INET : AF_INET6;
  message.neighbour.ndm_ifindex = static_cast<int>(session.device->index);
  message.neighbour.ndm_flags = NTF_USE;
  message.attribute.rta_len = static_cast<unsigned short>(RTA_LENGTH(bytes));
  message.attribute.rta_type = NDA_DST;
  std::memcpy(message.destination.data(), address.bytes.data() + (16 - bytes), bytes);
  iovec part{&message, message.header.nlmsg_len};
  msghdr out{};
  out.msg_iov = &part;
  out.msg_iovlen = 1;
  if (sys::sendmsg(links_.get(), &out, 0) < 0) {
    return base::fail_errno("the kernel cannot be asked for a neighbour");
  }
  return {};
}

}  // namespace ringway::netd
