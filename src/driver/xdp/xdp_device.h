#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "driver/xdp/xdp_port.h"
#include "driver/xdp/xdp_steering.h"
#include "mem/frame_pool.h"
#include "port/spec.h"

namespace ringway::driver {

inline constexpr std::array kXdpOptions{
    port::SpecOption{"queue", port::OptionKind::kCount, 0, 0, RW_MAX_QUEUES - 1,
                     "the only queue to use; all of them by default"},
    port::SpecOption{"require", port::OptionKind::kText, 0, 0, 0,
                     "zerocopy or copy: fail if it is not to be had"},
    port::SpecOption{"mode", port::OptionKind::kText, 0, 0, 0, "native or generic XDP"},
    port::SpecOption{"chain", port::OptionKind::kFlag, 0, 0, 1, "long frames may arrive in pieces"},
    port::SpecOption{"lease", port::OptionKind::kText, 0, 0, 0,
                     "direct (the device's own queues) or guarded (a veth with a source filter)"},
};

enum class LeaseKind : std::uint8_t { kAuto, kDirect, kGuarded };

/// A device as a person asks for it: "xdp:eth1,require=zerocopy".
struct XdpOptions {
  std::string device;
  std::int64_t queue = -1;  ///< the only one to use; -1: all
  xdp::CopyMode copy = xdp::CopyMode::kAuto;
  xdp::Steering::Attach attach = xdp::Steering::Attach::kAuto;
  bool chain = false;
  LeaseKind lease = LeaseKind::kAuto;  ///< of a program that shares the device with the kernel

  static base::Result<XdpOptions> parse(const port::Spec& spec);
};

/// What the kernel says about a device.
struct DeviceFacts {
  std::string name;
  std::string driver;
  std::uint32_t index = 0;
  std::uint32_t queues = 1;  ///< receive queues in use
  base::MacAddress mac;
  std::uint16_t mtu = 1500;
  bool up = false;
};
base::Result<DeviceFacts> look_at_device(const std::string& name);

/// Binds the queues that `options` ask for, all to the frames of `umem`. Needs CAP_NET_RAW.
/// The result has no steering yet: nothing arrives.
base::Result<XdpQueues> bind_queues(const DeviceFacts& facts, const XdpOptions& options,
                                    const xdp::Umem& umem);
/// "eth1: 2 queues, zero copy, native XDP": what was chosen, for a person.
std::string describe(const XdpQueues& queues, bool native);

/// A port that takes all frames of a device; the kernel sees none until it is closed. Needs root.
base::Result<std::unique_ptr<XdpPort>> open_xdp(const XdpOptions& options, mem::FramePool& pool);

/// Whether this process can open such a port.
base::Result<void> probe_xdp();

}  // namespace ringway::driver
