#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "port/spec.h"

namespace ringway::driver {

/// A tap as a person asks for it: "tap:rw0,ip=10.0.0.2/24,kernel_ip=10.0.0.1/24".
struct TapOptions {
  std::string name;                 ///< of the kernel's interface; "rw%d" lets the kernel number it
  std::optional<base::Prefix> ip;   ///< of Ringway's end: for the caller, the driver ignores it
  std::optional<base::Prefix> ip6;  ///< the same
  std::optional<base::Prefix> kernel_ip;  ///< given to the kernel's interface
  std::optional<base::Prefix> kernel_ip6;
  std::optional<base::MacAddress> mac;  ///< of Ringway's end; default: made from the name
  std::uint16_t mtu = 0;                ///< set on the interface; 0: as it is
  bool up = true;                       ///< set the interface up
  bool offload = true;  ///< leave checksums and segments to the other side, both ways
  bool chain =
      false;  ///< long frames may arrive as several descriptors; else the kernel keeps them short

  static base::Result<TapOptions> parse(const port::Spec& spec);
};

/// An open tap: what a privileged process passes to one that is not.
struct TapDevice {
  base::UniqueFd fd;
  std::string name;
};

/// Attaches to the interface, which is made if it is not there. Errors name the fix: kUnavailable
/// without /dev/net/tun, kPermission without the right to it, kExists if somebody else has it open.
base::Result<TapDevice> open_tap(std::string_view name);
/// Checks that `fd` is a tap with the virtio header, and asks its name. Takes `fd` over, also on
/// failure.
base::Result<TapDevice> adopt_tap(base::UniqueFd fd);

/// Sets MTU, addresses and the up flag as `options` ask. Needs CAP_NET_ADMIN.
base::Result<void> configure_tap(const TapDevice& device, const TapOptions& options);
/// The interface's MTU; 1500 if it is in a network namespace of somebody else.
std::uint16_t tap_mtu(const TapDevice& device);
/// Makes the kernel cut TCP frames to at most `bytes` before they enter the tap. Needs
/// CAP_NET_ADMIN.
base::Result<void> limit_gso(const TapDevice& device, std::uint32_t bytes);
/// What the other side of this tap may leave undone: checksums, and cutting of TCP frames.
base::Result<void> set_tap_offload(const TapDevice& device, bool checksum, bool segments);

}  // namespace ringway::driver
