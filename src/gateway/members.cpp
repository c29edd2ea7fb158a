// The ports that a network is attached to: opened, closed, told about.

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include "base/sys.h"
#include "driver/open.h"
#include "driver/tap/tap_port.h"
#include "gateway/attach_spec.h"
#include "gateway/gateway.h"
#include "traffic/frame_memory.h"

namespace ringway::gateway {

using base::ErrorCode;
using base::Result;

namespace {

constexpr std::uint32_t kMemberFrames = 4096;
constexpr std::uint32_t kMemberFrameBytes = 2048;

/// The kernel's address: as asked for, else the subnet's first, which no host gets.
Result<base::Prefix> choose_address(const std::optional<base::Prefix>& asked,
                                    const steering::Table& table) {
  const steering::Network network = table.network();
  const base::Prefix subnet{network.prefix4, network.prefix4_length};
  base::Prefix chosen{base::IpAddress::v4(network.prefix4.to_v4() + 1), subnet.length};
  if (asked) {
    chosen.address = asked->address;
    if (asked->length != 0) chosen.length = asked->length;
  }
  if (!subnet.contains(chosen.address)) {
    return base::fail(ErrorCode::kInvalidArgument,
                      fmt::format("{} is not within {}, the subnet of network {}",
                                  base::to_string(chosen.address), base::to_string(subnet),
                                  steering::text_of(network.name)));
  }
  if (table.find_host(chosen.address)) {
    return base::fail(
        ErrorCode::kExists,
        fmt::format("{} is the address of a host of the network; take another, such "
                    "as {}",
                    base::to_string(chosen.address),
                    base::to_string(base::IpAddress::v4(network.prefix4.to_v4() + 1))));
  }
  return chosen;
}

}  // namespace

Result<std::string> Gateway::attach(const AttachSpec& spec) {
  const bool tap = spec.port.driver == "tap";
  const bool first = bridge_->size() == 0;
  std::optional<base::Prefix> ip;
  // A tap gives the kernel an address; what is behind another port has its own.
  if (spec.ip || (tap && first && spec.member.vlan == 0)) {
    const auto chosen = choose_address(spec.ip, attachment_->table());
    if (!chosen) return tl::unexpected(chosen.error());
    ip = *chosen;
  }
  auto opened = tap ? open_tap(spec, ip) : open_other(spec);
  if (!opened) return tl::unexpected(std::move(opened).error());
  const std::string name(opened->port->name());
  auto added =
      bridge_->add(std::move(opened->port), *opened->pool, std::move(opened->memory), spec.member);
  if (!added) return tl::unexpected(std::move(added).error());
  configure_ip(ip);
  return fmt::format("{}{} is attached to network {}", name,
                     ip ? fmt::format(" ({})", base::to_string(*ip)) : "",
                     steering::text_of(attachment_->client().membership().network.name));
}

Result<Gateway::OpenMember> Gateway::open_tap(const AttachSpec& spec,
                                              const std::optional<base::Prefix>& kernel_ip) {
  auto options = driver::TapOptions::parse(spec.port);
  if (!options) return tl::unexpected(std::move(options).error());
  const steering::Network network = attachment_->table().network();
  options->kernel_ip = kernel_ip;
  base::Prefix kernel_ip6{network.prefix6, network.prefix6_length};
  kernel_ip6.address.bytes[15] = 1;
  const bool first = bridge_->size() == 0;
  if (kernel_ip && first && !attachment_->table().find_host(kernel_ip6.address)) {
    options->kernel_ip6 = kernel_ip6;
  }
  auto port = driver::TapPort::open(*options, pool_);
  if (!port && options->kernel_ip6 && port.error().code != ErrorCode::kPermission) {
    options->kernel_ip6.reset();  // a kernel without IPv6 still has the rest
    port = driver::TapPort::open(*options, pool_);
  }
  if (!port) return tl::unexpected(std::move(port).error());
  if (options->kernel_ip6) router6_ = kernel_ip6.address;
  return OpenMember{std::move(*port), &pool_, nullptr};
}

/// Frames of its own, of the size that devices want: the hosts' are as long as a link's.
Result<Gateway::OpenMember> Gateway::open_other(const AttachSpec& spec) {
  auto memory = std::make_shared<traffic::FrameMemory>();
  if (auto made = memory->make(kMemberFrames, kMemberFrameBytes); !made) {
    return tl::unexpected(std::move(made).error());
  }
  auto port = driver::open_port(spec.port_text(), memory->pool());
  if (!port) return tl::unexpected(std::move(port).error());
  return OpenMember{std::move(*port), &memory->pool(), memory};
}

/// What is beyond the subnet is behind the first member that told who routes it.
void Gateway::configure_ip(const std::optional<base::Prefix>& router) {
  const steering::Network network = attachment_->table().network();
  const bool first = !configured_;
  caps_changed();
  if (first) {
    configured_ = true;
    const steering::Host& host = attachment_->client().membership().host;
    speak_for(host.ipv4);
    speak_for(host.ipv6);
    ip_.add_route({{network.prefix4, network.prefix4_length}, {}, 0, kInterface});
    ip_.add_route({{network.prefix6, network.prefix6_length}, {}, 0, kInterface});
  }
  if (router && !routed_) {
    routed_ = true;
    ip_.add_route({{base::IpAddress::any_v4(), 0}, router->address, 0, kInterface});
    if (!router6_.is_any()) {
      ip_.add_route({{base::IpAddress::any_v6(), 0}, router6_, 0, kInterface});
    }
  }
  ip_.announce(kInterface, outside_);
}

void Gateway::caps_changed() {
  ip_.set_interface(kInterface, bridge_->caps());
  outside_.caps() = bridge_->caps();
}

Result<std::string> Gateway::answer(std::string_view request) {
  const auto space = request.find(' ');
  const std::string_view verb = request.substr(0, space);
  const std::string_view rest =
      space == std::string_view::npos ? std::string_view() : request.substr(space + 1);
  if (verb == "attach") {
    const auto spec = AttachSpec::parse(rest);
    if (!spec) return tl::unexpected(spec.error());
    return attach(*spec);
  }
  if (verb == "detach") {
    // By the name that `net ports` shows, or by the spec that it was attached with.
    const auto colon = rest.find(':');
    const auto name = colon == std::string_view::npos ? rest : rest.substr(colon + 1);
    if (!bridge_->remove(rest) && !bridge_->remove(name.substr(0, name.find(',')))) {
      return base::fail(
          ErrorCode::kNotFound,
          fmt::format("'{}' is not attached; `ringway net ports` shows what is", rest));
    }
    caps_changed();
    return fmt::format("{} is detached", rest);
  }
  if (verb == "list") {
    std::string text;
    for (const std::string& line : bridge_->describe()) text += line + "\n";
    return text;
  }
  return base::fail(ErrorCode::kInvalidArgument, fmt::format("'{}' is not understood", verb));
}

void Gateway::look_for_gone() {
  for (const std::string& name : bridge_->remove_gone()) {
    caps_changed();
    note(fmt::format("{} went away; attach it again when it is back", name));
  }
}

/// To the terminal in the foreground, else to the log beside the daemon's.
void Gateway::note(const std::string& line) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm local{};
  ::localtime_r(&now.tv_sec, &local);
  const std::string text =
      fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02} ringway-gateway: {}\n", local.tm_year + 1900,
                  local.tm_mon + 1, local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec, line);
  static_cast<void>(base::sys::write(log_ ? log_.get() : STDERR_FILENO, text.data(), text.size()));
}

}  // namespace ringway::gateway
