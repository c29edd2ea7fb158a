#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "port/spec.h"

namespace ringway::driver {

/// What a tap can be told.
inline constexpr std::array kTapOptions{
    port::SpecOption{"ip", port::OptionKind::kText, 0, 0, 0,
                     "IPv4 address of this end, with its prefix length"},
    port::SpecOption{"ip6", port::OptionKind::kText, 0, 0, 0,
                     "IPv6 address of this end, with its prefix length"},
    port::SpecOption{"kernel_ip", port::OptionKind::kText, 0, 0, 0,
                     "IPv4 address to give to the kernel's interface"},
    port::SpecOption{"kernel_ip6", port::OptionKind::kText, 0, 0, 0,
                     "IPv6 address to give to the kernel's interface"},
    port::SpecOption{"mac", port::OptionKind::kText, 0, 0, 0, "Ethernet address of this end"},
    port::SpecOption{"mtu", port::OptionKind::kCount, 0, 576, 65521,
                     "largest IP packet, 576 to 65521"},
    port::SpecOption{"up", port::OptionKind::kFlag, 1, 0, 1, "set the interface up"},
    port::SpecOption{"offload", port::OptionKind::kFlag, 1, 0, 1,
                     "leave checksums and segments to the other side"},
    port::SpecOption{"chain", port::OptionKind::kFlag, 0, 0, 1, "long frames may arrive in pieces"},
};

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

/// Whether this process can make taps; the error names the fix.
base::Result<void> probe_tap();
/// Attaches to the interface, which is made if it is not there. Errors name the fix: kUnavailable
/// without /dev/net/tun, kPermission without the right to it, kExists if somebody else has it open.
/// `several`: this is one of several queues, each of which is opened so; the kernel spreads frames
/// over them by flow.
base::Result<TapDevice> open_tap(std::string_view name, bool several = false);
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
