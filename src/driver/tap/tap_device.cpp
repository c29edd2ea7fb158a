#include "driver/tap/tap_device.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/sys.h"
#include "driver/tap/vnet_header.h"

namespace ringway::driver {
namespace {

namespace sys = base::sys;
using base::Error;
using base::ErrorCode;
using base::fail;
using base::fail_errno;
using base::Result;

ifreq request_for(std::string_view name) {
  ifreq request{};
  const std::size_t n = std::min(name.size(), sizeof request.ifr_name - 1);
  std::copy_n(name.begin(), n, request.ifr_name);
  return request;
}

base::UniqueFd control_socket(int family) {
  return base::UniqueFd(sys::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

/// An ioctl on the interface failed: says what it was for, and what to do if it is a matter of
/// rights.
tl::unexpected<Error> fail_interface(std::string_view name, std::string_view action) {
  const int saved = errno;
  Error error{ErrorCode::kSystem, saved,
              fmt::format("cannot {} of tap {}: {}", action, name, std::strerror(saved))};
  if (saved == EPERM || saved == EACCES) {
    error.code = ErrorCode::kPermission;
    error.what += "; run it as root, or with CAP_NET_ADMIN";
  }
  return tl::unexpected(std::move(error));
}

tl::unexpected<Error> fail_open() {
  const int saved = errno;
  Error error{ErrorCode::kSystem, saved,
              fmt::format("cannot open /dev/net/tun: {}", std::strerror(saved))};
  if (saved == ENOENT || saved == ENODEV || saved == ENXIO) {
    error.code = ErrorCode::kUnavailable;
    error.what += "; load it (modprobe tun), or give the container --device /dev/net/tun";
  } else if (saved == EACCES || saved == EPERM) {
    error.code = ErrorCode::kPermission;
    error.what += "; run it as root, or give it Debian's rights again: sudo chmod 666 /dev/net/tun";
  }
  return tl::unexpected(std::move(error));
}

tl::unexpected<Error> fail_attach(std::string_view name) {
  const int saved = errno;
  Error error{ErrorCode::kSystem, saved,
              fmt::format("cannot attach to tap {}: {}", name, std::strerror(saved))};
  if (saved == EPERM || saved == EACCES) {
    error.code = ErrorCode::kPermission;
    error.what += fmt::format(
        "; run it as root, or once: sudo ip tuntap add dev {} mode tap vnet_hdr user $USER", name);
  } else if (saved == EBUSY) {
    error.code = ErrorCode::kExists;
    error.what += "; another program has it open: end that one, or take another name";
  } else if (saved == EINVAL) {
    error.code = ErrorCode::kInvalidArgument;
    error.what += "; an interface of this name is no tap with a vnet header: take another name";
  }
  return tl::unexpected(std::move(error));
}

Result<void> set_header(const base::UniqueFd& fd) {
  int size = sizeof(VnetHeader);
  int little_endian = 1;
  if (sys::ioctl(fd.get(), TUNSETVNETHDRSZ, &size) < 0 ||
      sys::ioctl(fd.get(), TUNSETVNETLE, &little_endian) < 0) {
    return fail_errno("this kernel's tap has no virtio header");
  }
  return {};
}

/// SIOCSIFADDR for IPv6 takes this (linux/ipv6.h, which cannot be included beside netinet/in.h).
struct In6Request {
  in6_addr address;
  std::uint32_t prefix_length;
  int interface;
};

Result<void> set_v4(const base::UniqueFd& socket, ifreq request, const base::Prefix& prefix) {
  const auto set = [&](unsigned long command, std::uint32_t host_order) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(host_order);
    std::memcpy(&request.ifr_addr, &address, sizeof address);
    return sys::ioctl(socket.get(), command, &request) == 0;
  };
  const std::uint32_t mask = prefix.length == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix.length);
  if (!set(SIOCSIFADDR, prefix.address.to_v4()) || !set(SIOCSIFNETMASK, mask)) {
    return fail_interface(request.ifr_name, "set the address " + base::to_string(prefix));
  }
  return {};
}

Result<void> set_v6(const base::UniqueFd& socket, ifreq request, const base::Prefix& prefix) {
  In6Request address{};
  std::memcpy(&address.address, prefix.address.bytes.data(), 16);
  address.prefix_length = prefix.length;
  if (sys::ioctl(socket.get(), SIOCGIFINDEX, &request) == 0) {
    address.interface = request.ifr_ifindex;
    if (sys::ioctl(socket.get(), SIOCSIFADDR, &address) == 0 || errno == EEXIST) return {};
  }
  return fail_interface(request.ifr_name, "set the address " + base::to_string(prefix));
}

Result<void> set_up(const base::UniqueFd& socket, ifreq request) {
  if (sys::ioctl(socket.get(), SIOCGIFFLAGS, &request) < 0) {
    return fail_interface(request.ifr_name, "read the flags");
  }
  if ((request.ifr_flags & IFF_UP) != 0) return {};
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (sys::ioctl(socket.get(), SIOCSIFFLAGS, &request) < 0) {
    return fail_interface(request.ifr_name, "change the state");
  }
  return {};
}

/// RTM_NEWLINK with one attribute of 32 bits (rtnetlink(7)).
struct LinkRequest {
  nlmsghdr header;
  ifinfomsg link;
  rtattr attribute;
  std::uint32_t value;
};
struct Answer {
  nlmsghdr header;
  nlmsgerr error;
};

/// Sends `request` and returns 0 or the errno that the kernel answers.
int change_link(LinkRequest& request) {
  const base::UniqueFd socket(sys::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket) return errno;
  iovec out{&request, sizeof request};
  msghdr message{};
  message.msg_iov = &out;
  message.msg_iovlen = 1;
  if (sys::sendmsg(socket.get(), &message, 0) < 0) return errno;
  Answer answer{};
  iovec in{&answer, sizeof answer};
  message = {};
  message.msg_iov = &in;
  message.msg_iovlen = 1;
  const ssize_t n = sys::recvmsg(socket.get(), &message, 0);
  if (n < 0) return errno;
  if (n < static_cast<ssize_t>(sizeof answer.header + sizeof answer.error.error) ||
      answer.header.nlmsg_type != NLMSG_ERROR) {
    return EPROTO;
  }
  return -answer.error.error;
}

}  // namespace

Result<void> probe_tap() {
  const base::UniqueFd device(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!device) return fail_open();
  return {};
}

Result<TapDevice> open_tap(std::string_view name, bool several) {
  TapDevice device;
  device.fd.reset(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!device.fd) return fail_open();
  ifreq request = request_for(name);
  request.ifr_flags =
      static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (several ? IFF_MULTI_QUEUE : 0));
  if (sys::ioctl(device.fd.get(), TUNSETIFF, &request) < 0) return fail_attach(name);
  device.name = request.ifr_name;
  if (auto set = set_header(device.fd); !set) return tl::unexpected(set.error());
  return device;
}

Result<TapDevice> adopt_tap(base::UniqueFd fd) {
  ifreq request{};
  if (sys::ioctl(fd.get(), TUNGETIFF, &request) < 0) {
    return fail_errno("the descriptor that was passed is no open tap");
  }
  constexpr int kWanted = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if ((request.ifr_flags & kWanted) != kWanted) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{} is no tap with IFF_NO_PI and IFF_VNET_HDR", request.ifr_name));
  }
  const int flags = sys::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || sys::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) < 0) {
    return fail_errno("cannot make a tap non-blocking");
  }
  TapDevice device{std::move(fd), request.ifr_name};
  if (auto set = set_header(device.fd); !set) return tl::unexpected(set.error());
  return device;
}

Result<void> configure_tap(const TapDevice& device, const TapOptions& options) {
  const base::UniqueFd socket = control_socket(AF_INET);
  if (!socket) return fail_errno("no socket to configure a tap");
  ifreq request = request_for(device.name);
  if (options.mtu != 0 && options.mtu != tap_mtu(device)) {
    request.ifr_mtu = options.mtu;
    if (sys::ioctl(socket.get(), SIOCSIFMTU, &request) < 0) {
      return fail_interface(device.name, fmt::format("set the MTU {}", options.mtu));
    }
  }
  if (options.kernel_ip) {
    if (auto set = set_v4(socket, request_for(device.name), *options.kernel_ip); !set) return set;
  }
  if (options.kernel_ip6) {
    const base::UniqueFd socket6 = control_socket(AF_INET6);
    if (!socket6) return fail_errno("no IPv6 socket to configure a tap");
    if (auto set = set_v6(socket6, request_for(device.name), *options.kernel_ip6); !set) return set;
  }
  if (!options.up) return {};
  return set_up(socket, request_for(device.name));
}

std::uint16_t tap_mtu(const TapDevice& device) {
  const base::UniqueFd socket = control_socket(AF_INET);
  ifreq request = request_for(device.name);
  if (!socket || sys::ioctl(socket.get(), SIOCGIFMTU, &request) < 0) return 1500;
  return static_cast<std::uint16_t>(std::clamp(request.ifr_mtu, 68, UINT16_MAX));
}

Result<void> limit_gso(const TapDevice& device, std::uint32_t bytes) {
  const base::UniqueFd socket = control_socket(AF_INET);
  ifreq request = request_for(device.name);
  if (!socket || sys::ioctl(socket.get(), SIOCGIFINDEX, &request) < 0) {
    return fail_interface(device.name, "find the index");
  }
  LinkRequest change{};
  change.header.nlmsg_len = sizeof change;
  change.header.nlmsg_type = RTM_NEWLINK;
  change.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  change.link.ifi_family = AF_UNSPEC;
  change.link.ifi_index = request.ifr_ifindex;
  change.attribute.rta_len = RTA_LENGTH(sizeof change.value);
  change.attribute.rta_type = IFLA_GSO_MAX_SIZE;
  change.value = bytes;
  errno = change_link(change);
  if (errno != 0) return fail_interface(device.name, "limit the segments");
  return {};
}

Result<void> set_tap_offload(const TapDevice& device, bool checksum, bool segments) {
  unsigned long flags = checksum ? TUN_F_CSUM : 0;
  if (segments) flags |= TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  // This ioctl takes its argument by value.
  if (sys::ioctl(device.fd.get(), TUNSETOFFLOAD, reinterpret_cast<void*>(flags)) < 0) {
    return fail_interface(device.name, "set the offloads");
  }
  return {};
}

}  // namespace ringway::driver
