#include <fmt/format.h>
#include <linux/if_packet.h>
#include <net/if.h>

#include "driver/packet/packet_device.h"

namespace ringway::driver {
namespace {

using base::ErrorCode;
using base::Result;

enum PacketOption : std::uint8_t {
  kOffload,
  kBlock,
  kFrames,
  kMac,
  kPromiscuous,
  kBypass,
  kFanout,
  kFd
};

Result<std::uint16_t> fanout_of(const std::string& text) {
  if (text.empty() || text == "hash") return PACKET_FANOUT_HASH;
  if (text == "cpu") return PACKET_FANOUT_CPU;
  if (text == "lb") return PACKET_FANOUT_LB;
  return base::fail(ErrorCode::kInvalidArgument,
                    fmt::format("option fanout: '{}' is not hash, cpu or lb", text));
}

}  // namespace

Result<PacketOptions> PacketOptions::parse(const port::Spec& spec) {
  PacketOptions options;
  const auto values = port::SpecValues::read(spec, kPacketOptions);
  if (!values) return tl::unexpected(values.error());
  if (values->given(kFd)) options.fd = static_cast<int>(values->number(kFd));
  options.name = spec.name;
  if (options.fd < 0 && (options.name.empty() || options.name.size() >= IFNAMSIZ ||
                         options.name.find_first_of("/ ") != std::string::npos)) {
    return base::fail(ErrorCode::kInvalidArgument,
                      fmt::format("'{}' is no interface name; expected packet:NAME like "
                                  "packet:eth0",
                                  options.name));
  }
  if (values->given(kMac)) {
    const auto mac = base::parse_mac(values->text(kMac));
    if (!mac) return tl::unexpected(mac.error());
    if (mac->is_multicast() || *mac == base::MacAddress{}) {
      return base::fail(
          ErrorCode::kInvalidArgument,
          fmt::format("option mac: '{}' is no address of one station", values->text(kMac)));
    }
    options.mac = *mac;
  }
  const auto fanout = fanout_of(values->text(kFanout));
  if (!fanout) return tl::unexpected(fanout.error());
  options.fanout = *fanout;
  options.offload = values->number(kOffload) != 0;
  options.block = base::Duration::nanoseconds(values->number(kBlock));
  options.frames = static_cast<std::uint32_t>(values->number(kFrames));
  options.promiscuous = values->number(kPromiscuous) != 0 || options.mac.has_value();
  options.bypass = values->number(kBypass) != 0;
  return options;
}

}  // namespace ringway::driver
