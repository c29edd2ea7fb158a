// What a program may have besides its queues: ports, and neighbours to be asked for.

#include <fmt/format.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>

#include <array>
#include <charconv>
#include <cstring>

#include "base/sys.h"
#include "netd/daemon/netd.h"
#include "netd/daemon/wire.h"

namespace ringway::netd {

namespace sys = base::sys;
using base::ErrorCode;
using base::Result;
using driver::xdp::Steering;

namespace {

/// Outgoing connections: above what the kernel itself takes by default (ip_local_port_range).
constexpr std::uint32_t kFirstBlock = 61'056;
constexpr std::uint16_t kBlockPorts = 64;

std::uint32_t first_unprivileged_port() {
  const base::UniqueFd file(
      sys::openat(AT_FDCWD, "/proc/sys/net/ipv4/ip_unprivileged_port_start", O_RDONLY | O_CLOEXEC));
  std::array<char, 16> text{};
  const ssize_t n = file ? sys::read(file.get(), text.data(), text.size()) : -1;
  std::uint32_t value = 1024;
  if (n > 0) std::from_chars(text.data(), text.data() + n, value);
  return value;
}

}  // namespace

tl::unexpected<base::Error> refuse(int number, std::string what) {
  return tl::unexpected(base::Error{ErrorCode::kSystem, number, std::move(what)});
}

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
  const auto set =
      session.device->steering->set_lease(key, {session.pid, session.guard, session.start_time});
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
