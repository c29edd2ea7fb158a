#include "runtime/kernel_view.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "base/netlink.h"
#include "base/sys.h"

namespace ringway::runtime {

namespace sys = base::sys;
using base::Result;

namespace {

constexpr std::size_t kBufferBytes = 32'768;

using Bytes = std::span<const std::byte>;

/// Attributes of one message by type; those beyond the table are not looked at.
class Attributes {
 public:
  explicit Attributes(Bytes bytes) {
    base::for_each_attribute(bytes, [this](unsigned type, Bytes value) {
      if (type < by_type_.size()) by_type_[type] = value;
    });
  }
  std::optional<base::IpAddress> address(std::size_t type) const {
    const Bytes value = by_type_[type];
    if (value.size() == 4) return base::IpAddress::from_v4_bytes(value.data());
    if (value.size() == 16) return base::IpAddress::from_v6_bytes(value.data());
    return std::nullopt;
  }
  std::optional<std::uint32_t> number(std::size_t type) const {
    if (by_type_[type].size() < 4) return std::nullopt;
    return base::fixed_part<std::uint32_t>(by_type_[type]);
  }
  Bytes raw(std::size_t type) const { return by_type_[type]; }

 private:
  std::array<Bytes, 32> by_type_{};
};

/// A message in two parts.
template <typename T>
struct Message {
  explicit Message(Bytes bytes)
      : body(base::fixed_part<T>(bytes)),
        all(bytes.size() > kFixed ? bytes.subspan(kFixed) : Bytes{}) {}
  static constexpr std::size_t kFixed = (sizeof(T) + 3) & ~std::size_t{3};

  T body;
  Attributes all;
};

std::optional<KernelFact> read_address(bool gone, Bytes bytes, std::uint32_t interface) {
  const Message<ifaddrmsg> m(bytes);
  if (m.body.ifa_index != interface) return std::nullopt;
  auto address = m.all.address(IFA_LOCAL);
  if (!address) address = m.all.address(IFA_ADDRESS);
  if (!address) return std::nullopt;
  KernelFact fact;
  fact.kind = KernelFact::Kind::kAddress;
  fact.gone = gone;
  fact.prefix = {*address, m.body.ifa_prefixlen};
  return fact;
}

std::optional<KernelFact> read_route(bool gone, Bytes bytes, std::uint32_t interface) {
  const Message<rtmsg> m(bytes);
  if (m.body.rtm_table != RT_TABLE_MAIN || m.body.rtm_type != RTN_UNICAST ||
      m.all.number(RTA_OIF) != interface) {
    return std::nullopt;
  }
  KernelFact fact;
  fact.kind = KernelFact::Kind::kRoute;
  fact.gone = gone;
  const auto any =
      m.body.rtm_family == AF_INET ? base::IpAddress::any_v4() : base::IpAddress::any_v6();
  fact.prefix = {m.all.address(RTA_DST).value_or(any), m.body.rtm_dst_len};
  fact.gateway = m.all.address(RTA_GATEWAY).value_or(any);
  fact.metric = m.all.number(RTA_PRIORITY).value_or(0);
  return fact;
}

std::optional<KernelFact> read_neighbour(bool gone, Bytes bytes, std::uint32_t interface) {
  const Message<ndmsg> m(bytes);
  if (static_cast<std::uint32_t>(m.body.ndm_ifindex) != interface) return std::nullopt;
  const auto address = m.all.address(NDA_DST);
  if (!address) return std::nullopt;
  KernelFact fact;
  fact.kind = KernelFact::Kind::kNeighbour;
  fact.prefix.address = *address;
  fact.gone = gone || (m.body.ndm_state & NUD_FAILED) != 0;
  if (fact.gone) return fact;
  // Being asked for: what is known from frames holds until the kernel knows better.
  const Bytes mac = m.all.raw(NDA_LLADDR);
  constexpr int kKnown = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT;
  if ((m.body.ndm_state & kKnown) == 0 || mac.size() != 6) return std::nullopt;
  std::memcpy(fact.mac.bytes.data(), mac.data(), 6);
  return fact;
}

std::optional<KernelFact> read_link(bool gone, Bytes bytes, std::uint32_t interface) {
  const Message<ifinfomsg> m(bytes);
  if (static_cast<std::uint32_t>(m.body.ifi_index) != interface) return std::nullopt;
  KernelFact fact;
  fact.kind = KernelFact::Kind::kLink;
  fact.gone = gone;
  fact.up = (m.body.ifi_flags & IFF_UP) != 0;
  fact.mtu = static_cast<std::uint16_t>(
      std::min<std::uint32_t>(m.all.number(IFLA_MTU).value_or(1500), UINT16_MAX));
  return fact;
}

std::optional<KernelFact> read_fact(unsigned type, Bytes bytes, std::uint32_t interface) {
  switch (type) {
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return read_address(type == RTM_DELADDR, bytes, interface);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return read_route(type == RTM_DELROUTE, bytes, interface);
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return read_neighbour(type == RTM_DELNEIGH, bytes, interface);
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return read_link(type == RTM_DELLINK, bytes, interface);
    default:
      return std::nullopt;
  }
}

struct Batch {
  bool any = false;     ///< something came
  bool missed = false;  ///< more came than the socket holds
  bool done = false;    ///< the end of a dump, or an error
};

Batch read_batch(int socket, std::uint32_t interface, int flags, std::vector<KernelFact>& facts) {
  std::vector<std::byte> buffer(kBufferBytes);
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  const ssize_t n = sys::recvmsg(socket, &message, flags);
  if (n < 0) return {.missed = errno == ENOBUFS, .done = errno != EINTR && errno != ENOBUFS};
  Batch batch{.any = true};
  base::for_each_message(Bytes(buffer).first(static_cast<std::size_t>(n)),
                         [&](const nlmsghdr& header, Bytes body) {
                           const unsigned type = header.nlmsg_type;
                           if (type == NLMSG_DONE || type == NLMSG_ERROR) batch.done = true;
                           if (const auto fact = read_fact(type, body, interface)) {
                             facts.push_back(*fact);
                           }
                         });
  return batch;
}

bool send_request(int socket, void* request, std::uint32_t length) {
  iovec part{request, length};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  return sys::sendmsg(socket, &message, 0) == static_cast<ssize_t>(length);
}

}  // namespace

Result<KernelView> KernelView::open(std::uint32_t interface, std::vector<KernelFact>& facts) {
  KernelView view;
  view.interface_ = interface;
  view.socket_.reset(sys::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE |
                      RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE;
  if (!view.socket_ ||
      sys::bind(view.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return base::fail_errno("the kernel's addresses and routes cannot be followed");
  }
  if (auto dumped = view.dump(facts); !dumped) return tl::unexpected(dumped.error());
  return view;
}

/// Changes that come between are facts like others, in their order.
Result<void> KernelView::dump(std::vector<KernelFact>& facts) {
  for (const std::uint16_t type : {RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH}) {
    struct {
      nlmsghdr header;
      rtmsg body;  // the longest of the four bodies that begin with a family; all zero: everything
      std::uint32_t padding;
    } request{};
    request.header.nlmsg_len = sizeof request;
    request.header.nlmsg_type = type;
    request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    if (!send_request(fd(), &request, sizeof request)) {
      return base::fail_errno("the kernel cannot be asked for addresses and routes");
    }
    for (Batch batch; !batch.done;) batch = read_batch(fd(), interface_, 0, facts);
  }
  return {};
}

void KernelView::read(std::vector<KernelFact>& facts) {
  for (;;) {
    const Batch batch = read_batch(fd(), interface_, MSG_DONTWAIT, facts);
    if (batch.missed) static_cast<void>(dump(facts));
    if (!batch.any && !batch.missed) return;
  }
}

std::optional<KernelView::Way> KernelView::way_to(const base::IpAddress& remote) {
  const base::UniqueFd socket(sys::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  struct {
    nlmsghdr header;
    rtmsg body;
    rtattr attribute;
    std::array<std::uint8_t, 16> destination;
  } request{};
  const bool v4 = remote.is_v4();
  const std::size_t bytes = v4 ? 4 : 16;
  request.header.nlmsg_len =
      static_cast<std::uint32_t>(NLMSG_LENGTH(sizeof request.body) + RTA_LENGTH(bytes));
  request.header.nlmsg_type = RTM_GETROUTE;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.body.rtm_family = v4 ? AF_INET : AF_INET6;
  request.body.rtm_dst_len = static_cast<unsigned char>(bytes * 8);
  request.attribute.rta_len = static_cast<unsigned short>(RTA_LENGTH(bytes));
  request.attribute.rta_type = RTA_DST;
  std::memcpy(request.destination.data(), remote.bytes.data() + (16 - bytes), bytes);
  if (!socket || !send_request(socket.get(), &request, request.header.nlmsg_len)) {
    return std::nullopt;
  }
  alignas(nlmsghdr) std::array<std::byte, 4096> buffer;
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  const ssize_t n = sys::recvmsg(socket.get(), &message, 0);
  if (n < 0) return std::nullopt;
  std::optional<Way> way;
  base::for_each_message(Bytes(buffer).first(static_cast<std::size_t>(n)),
                         [&](const nlmsghdr& header, Bytes body) {
                           if (header.nlmsg_type != RTM_NEWROUTE) return;
                           const Message<rtmsg> m(body);
                           const auto interface = m.all.number(RTA_OIF);
                           const auto source = m.all.address(RTA_PREFSRC);
                           if (m.body.rtm_type == RTN_UNICAST && interface && source)
                             way = Way{*interface, *source};
                         });
  return way;
}

}  // namespace ringway::runtime
