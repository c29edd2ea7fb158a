#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "driver/frames.h"
#include "port/port.h"
#include "port/spec.h"

namespace ringway::driver {

/// What a dpdk port can be told.
inline constexpr std::array kDpdkOptions{
    port::SpecOption{"args", port::OptionKind::kText, 0, 0, 0,
                     "arguments of the device, with ';' between them"},
    port::SpecOption{"eal", port::OptionKind::kText, 0, 0, 0,
                     "arguments of the EAL, with blanks between them; the first port of a process "
                     "decides. Default: no huge pages, no PCI"},
    port::SpecOption{"rx", port::OptionKind::kCount, 512, 16, 8192,
                     "descriptors of a receive ring, 16 to 8k"},
    port::SpecOption{"tx", port::OptionKind::kCount, 512, 16, 8192,
                     "descriptors of a send ring, 16 to 8k"},
    port::SpecOption{"mtu", port::OptionKind::kCount, 0, 576, 65521,
                     "set on the device, 576 to 65521"},
    port::SpecOption{"promisc", port::OptionKind::kFlag, 1, 0, 1,
                     "receive frames for other addresses too"},
};

/// A DPDK device as a person asks for it: "dpdk:net_null0,args=size=64;copy=0".
struct DpdkOptions {
  std::string device;   ///< PCI address, or name of a virtual device
  std::string devargs;  ///< the same with its arguments, as DPDK reads it
  std::vector<std::string> eal;
  std::uint16_t rx_descs = 512;
  std::uint16_t tx_descs = 512;
  std::uint16_t mtu = 0;  ///< 0: as it is
  bool promiscuous = true;

  static base::Result<DpdkOptions> parse(const port::Spec& spec);
};

/// What the module lib/ringway/modules/libringway-dpdk.so exports as `ringway_dpdk_module`. It is
/// of the same build as its user, or it is not used.
struct DpdkModule {
  static constexpr std::uint32_t kVersion = 1;

  std::uint32_t version;
  std::uint32_t options_bytes;  ///< sizeof(DpdkOptions)
  base::Result<std::vector<std::unique_ptr<port::Port>>> (*open)(const DpdkOptions& options,
                                                                 std::span<const Frames> frames);
};

/// Loads the module, once. Errors: kUnavailable with what to install or build.
base::Result<const DpdkModule*> load_dpdk();
/// The first pool is that of queue 0, and so on. Pools and their memory must outlive the ports.
base::Result<std::vector<std::unique_ptr<port::Port>>> open_dpdk(const DpdkOptions& options,
                                                                 std::span<const Frames> frames);
base::Result<void> probe_dpdk();

}  // namespace ringway::driver
