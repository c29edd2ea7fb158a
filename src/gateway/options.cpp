#include "gateway/options.h"

#include <fmt/format.h>

#include <string_view>

namespace ringway::gateway {

using base::ErrorCode;
using base::Result;

const char* const kUsage =
    "usage: ringway-gateway [--network NAME] [--port SPEC | --tap NAME --ip ADDRESS[/LENGTH]]\n"
    "                       [--detach PORT | --list] [--foreground]\n"
    "Joins a Ringway network to the local kernel by a tap interface, or to any other port;\n"
    "`ringway net attach` starts it, and asks it for further ports. A tap needs root or\n"
    "CAP_NET_ADMIN. What it made goes away when it ends (SIGTERM).\n"
    "  --network NAME  the network (default: default)\n"
    "  --port SPEC     DRIVER:NAME[,ip=ADDRESS/LENGTH][,vlan=ID][,storm=N][,OPTION=VALUE...]\n"
    "  --detach PORT   let the running gateway close this port\n"
    "  --list          let the running gateway tell its ports\n"
    "  --tap NAME      the kernel's interface (default: the first free one of rw0, rw1, ...)\n"
    "  --ip ADDRESS    its address, within the network's subnet (default: the subnet's first)\n"
    "  --foreground    do not go to the background when ready; print the counters at the end\n";

namespace {

Result<void> set_ip(Options& options, std::string_view text) {
  auto prefix = base::parse_prefix(text);
  if (!prefix) return tl::unexpected(std::move(prefix).error());
  if (!prefix->address.is_v4()) {
    return base::fail(ErrorCode::kInvalidArgument,
                      fmt::format("--ip takes an IPv4 address, not '{}'", text));
  }
  if (text.find('/') == std::string_view::npos) prefix->length = 0;
  options.ip = *prefix;
  return {};
}

}  // namespace

std::string Options::spec() const {
  if (!port.empty()) return port;
  std::string text = "tap:" + tap;
  if (!ip) return text;
  return text + ",ip=" + (ip->length == 0 ? base::to_string(ip->address) : base::to_string(*ip));
}

Result<Options> parse_options(std::span<const char* const> arguments) {
  Options options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (argument == "--foreground") {
      options.foreground = true;
      continue;
    }
    if (argument == "--help" || argument == "--list") {
      (argument == "--help" ? options.help : options.list) = true;
      continue;
    }
    const bool known = argument == "--network" || argument == "--tap" || argument == "--ip" ||
                       argument == "--port" || argument == "--detach";
    if (!known || i + 1 == arguments.size()) {
      return base::fail(ErrorCode::kInvalidArgument,
                        known ? fmt::format("{} needs a value", argument)
                              : fmt::format("'{}' is not understood here; see --help", argument));
    }
    const std::string_view value = arguments[++i];
    if (argument == "--network") options.network = value;
    if (argument == "--tap") options.tap = value;
    if (argument == "--port") options.port = value;
    if (argument == "--detach") options.detach = value;
    if (argument != "--ip") continue;
    if (auto set = set_ip(options, value); !set) return tl::unexpected(std::move(set).error());
  }
  return options;
}

}  // namespace ringway::gateway
