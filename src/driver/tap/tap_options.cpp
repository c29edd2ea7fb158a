#include <fmt/format.h>
#include <net/if.h>

#include <array>

#include "driver/tap/tap_device.h"

namespace ringway::driver {
namespace {

using base::ErrorCode;
using base::Prefix;
using base::Result;

enum TapOption : std::uint8_t {
  kIp,
  kIp6,
  kKernelIp,
  kKernelIp6,
  kMac,
  kMtu,
  kUp,
  kOffload,
  kChain
};

Result<std::optional<Prefix>> prefix_of(const port::SpecValues& values, TapOption option, bool v4) {
  if (!values.given(option)) return std::nullopt;
  auto prefix = base::parse_prefix(values.text(option));
  if (!prefix) return tl::unexpected(prefix.error());
  if (prefix->address.is_v4() != v4) {
    return base::fail(ErrorCode::kInvalidArgument,
                      fmt::format("option {}: '{}' is not an IPv{} address",
                                  kTapOptions[option].name, values.text(option), v4 ? 4 : 6));
  }
  return *prefix;
}

Result<void> read_addresses(const port::SpecValues& values, TapOptions& options) {
  const std::array wanted{std::pair{kIp, &options.ip}, std::pair{kIp6, &options.ip6},
                          std::pair{kKernelIp, &options.kernel_ip},
                          std::pair{kKernelIp6, &options.kernel_ip6}};
  for (const auto& [option, to] : wanted) {
    auto prefix = prefix_of(values, option, option == kIp || option == kKernelIp);
    if (!prefix) return tl::unexpected(prefix.error());
    *to = *prefix;
  }
  if (!values.given(kMac)) return {};
  const auto mac = base::parse_mac(values.text(kMac));
  if (!mac) return tl::unexpected(mac.error());
  if (mac->is_multicast() || *mac == base::MacAddress{}) {
    return base::fail(
        ErrorCode::kInvalidArgument,
        fmt::format("option mac: '{}' is no address of one station", values.text(kMac)));
  }
  options.mac = *mac;
  return {};
}

}  // namespace

Result<TapOptions> TapOptions::parse(const port::Spec& spec) {
  TapOptions options;
  options.name = spec.name.empty() ? "rw%d" : spec.name;
  if (options.name.size() >= IFNAMSIZ || options.name.find_first_of("/ ") != std::string::npos) {
    return base::fail(
        ErrorCode::kInvalidArgument,
        fmt::format("'{}' is no interface name; expected up to {} characters without '/'",
                    options.name, IFNAMSIZ - 1));
  }
  const auto values = port::SpecValues::read(spec, kTapOptions);
  if (!values) return tl::unexpected(values.error());
  if (auto read = read_addresses(*values, options); !read) return tl::unexpected(read.error());
  options.mtu = static_cast<std::uint16_t>(values->number(kMtu));
  options.up = values->number(kUp) != 0;
  options.offload = values->number(kOffload) != 0;
  options.chain = values->number(kChain) != 0;
  return options;
}

}  // namespace ringway::driver
