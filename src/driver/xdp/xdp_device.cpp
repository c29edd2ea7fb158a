#include "driver/xdp/xdp_device.h"

#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/sys.h"

namespace ringway::driver {
namespace {

namespace sys = base::sys;
using base::ErrorCode;
using base::Result;

enum XdpOption : std::uint8_t { kQueue, kRequire, kMode, kChain, kLease };  // as in kXdpOptions

/// The place of `text` among `words`, 0 if it was not given.
Result<std::size_t> word_of(const port::SpecValues& values, XdpOption option,
                            std::array<const char*, 2> words) {
  if (!values.given(option)) return 0U;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (values.text(option) == words[i]) return i + 1;
  }
  return base::fail(ErrorCode::kInvalidArgument,
                    fmt::format("option {}: '{}' is neither {} nor {}", kXdpOptions[option].name,
                                values.text(option), words[0], words[1]));
}

ifreq request_for(const std::string& name) {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  return request;
}

bool ask_ethtool(int socket, const std::string& name, void* command) {
  ifreq request = request_for(name);
  request.ifr_data = static_cast<char*>(command);
  return sys::ioctl(socket, SIOCETHTOOL, &request) == 0;
}

}  // namespace

Result<XdpOptions> XdpOptions::parse(const port::Spec& spec) {
  if (spec.name.empty() || spec.name.size() >= IFNAMSIZ) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "xdp needs the name of a network interface, as in xdp:eth1");
  }
  const auto values = port::SpecValues::read(spec, kXdpOptions);
  if (!values) return tl::unexpected(values.error());
  XdpOptions options;
  options.device = spec.name;
  if (values->given(kQueue)) options.queue = values->number(kQueue);
  const auto require = word_of(*values, kRequire, {"copy", "zerocopy"});
  const auto mode = word_of(*values, kMode, {"native", "generic"});
  const auto lease = word_of(*values, kLease, {"direct", "guarded"});
  for (const auto* word : {&require, &mode, &lease}) {
    if (!*word) return tl::unexpected(word->error());
  }
  options.copy = static_cast<xdp::CopyMode>(*require);
  options.attach = static_cast<xdp::Steering::Attach>(*mode);
  options.chain = values->number(kChain) != 0;
  options.lease = static_cast<LeaseKind>(*lease);
  return options;
}

Result<DeviceFacts> look_at_device(const std::string& name) {
  const base::UniqueFd socket(sys::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return base::fail_errno("no socket to ask for a device");
  DeviceFacts facts;
  facts.name = name;
  ifreq request = request_for(name);
  if (sys::ioctl(socket.get(), SIOCGIFINDEX, &request) != 0) {
    return base::fail(ErrorCode::kNotFound,
                      fmt::format("there is no interface {}; `ip link` lists them", name));
  }
  facts.index = static_cast<std::uint32_t>(request.ifr_ifindex);
  if (sys::ioctl(socket.get(), SIOCGIFHWADDR, &request) == 0) {
    std::memcpy(facts.mac.bytes.data(), request.ifr_hwaddr.sa_data, facts.mac.bytes.size());
  }
  request = request_for(name);
  if (sys::ioctl(socket.get(), SIOCGIFMTU, &request) == 0) {
    facts.mtu = static_cast<std::uint16_t>(std::clamp(request.ifr_mtu, 68, UINT16_MAX));
  }
  request = request_for(name);
  if (sys::ioctl(socket.get(), SIOCGIFFLAGS, &request) == 0) {
    facts.up = (request.ifr_flags & IFF_UP) != 0;
  }
  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  if (ask_ethtool(socket.get(), name, &driver)) facts.driver = driver.driver;
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  if (ask_ethtool(socket.get(), name, &channels)) {
    facts.queues = std::max(1U, channels.combined_count + channels.rx_count);
  }
  return facts;
}

Result<XdpQueues> bind_queues(const DeviceFacts& facts, const XdpOptions& options,
                              const xdp::Umem& umem) {
  if (!facts.up) {
    return base::fail(ErrorCode::kUnavailable,
                      fmt::format("{0} is down: ip link set {0} up", facts.name));
  }
  if (options.queue >= static_cast<std::int64_t>(facts.queues)) {
    return base::fail(
        ErrorCode::kInvalidArgument,
        fmt::format("{} has {} queue(s), counted from 0; more: ethtool -L {} rx N tx N", facts.name,
                    facts.queues, facts.name));
  }
  XdpQueues queues;
  queues.device = facts.name;
  queues.mac = facts.mac;
  queues.mtu = facts.mtu;
  queues.unfinished_checksums = facts.driver == "veth";
  queues.chain = options.chain;
  const auto first = static_cast<std::uint32_t>(options.queue < 0 ? 0 : options.queue);
  const std::uint32_t count =
      options.queue < 0 ? std::min<std::uint32_t>(facts.queues, RW_MAX_QUEUES) : 1;
  for (std::uint32_t i = 0; i < count; ++i) {
    xdp::BindTo to{facts.name, facts.index, first + i, options.copy, -1};
    if (i != 0) to.shared = queues.sockets.front().get();
    auto bound = xdp::bind_socket(to, umem);
    if (!bound) return tl::unexpected(bound.error());
    if (i == 0) queues.binding = bound->binding;
    queues.sockets.push_back(std::move(bound->fd));
  }
  return queues;
}

std::string describe(const XdpQueues& queues, bool native) {
  return fmt::format("{}: {} queue(s), {}, {} XDP", queues.device, queues.sockets.size(),
                     queues.binding.zero_copy ? "zero copy" : "one copy by the kernel",
                     native ? "native" : "generic");
}

}  // namespace ringway::driver
