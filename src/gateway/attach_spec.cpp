#include "gateway/attach_spec.h"

#include <fmt/format.h>

#include <algorithm>

namespace ringway::gateway {

using base::ErrorCode;
using base::Result;

namespace {

/// Takes an option out of the spec.
std::optional<std::string> take(port::Spec& spec, std::string_view key) {
  const auto found = std::find_if(spec.options.begin(), spec.options.end(),
                                  [key](const auto& option) { return option.first == key; });
  if (found == spec.options.end()) return std::nullopt;
  std::string value = found->second;
  spec.options.erase(found);
  return value;
}

Result<std::int64_t> number(std::string_view key, const std::string& value, std::int64_t least,
                            std::int64_t most) {
  const auto parsed = port::parse_value(port::OptionKind::kCount, value);
  if (!parsed || *parsed < least || *parsed > most) {
    return base::fail(
        ErrorCode::kInvalidArgument,
        fmt::format("option {}: '{}' is not a number from {} to {}", key, value, least, most));
  }
  return *parsed;
}

Result<base::Prefix> address(const std::string& value) {
  auto prefix = base::parse_prefix(value);
  if (!prefix || !prefix->address.is_v4()) {
    return base::fail(
        ErrorCode::kInvalidArgument,
        fmt::format("option ip: '{}' is no IPv4 address; write ip=10.111.0.1/16", value));
  }
  if (value.find('/') == std::string::npos) prefix->length = 0;
  return *prefix;
}

}  // namespace

Result<AttachSpec> AttachSpec::parse(std::string_view text) {
  auto spec = port::Spec::parse(text);
  if (!spec) return tl::unexpected(std::move(spec).error());
  AttachSpec attach{std::move(*spec), std::nullopt, {}};
  if (const auto value = take(attach.port, "ip")) {
    const auto ip = address(*value);
    if (!ip) return tl::unexpected(ip.error());
    attach.ip = *ip;
  }
  if (const auto value = take(attach.port, "vlan")) {
    const auto vlan = number("vlan", *value, 1, 4094);
    if (!vlan) return tl::unexpected(vlan.error());
    attach.member.vlan = static_cast<std::uint16_t>(*vlan);
  }
  if (const auto value = take(attach.port, "storm")) {
    const auto storm = number("storm", *value, 0, 100'000'000);
    if (!storm) return tl::unexpected(storm.error());
    attach.member.storm = static_cast<std::uint32_t>(*storm);
  }
  return attach;
}

std::string AttachSpec::port_text() const {
  std::string text = port.driver;
  char separator = ':';
  if (!port.name.empty()) text += std::exchange(separator, ',') + port.name;
  for (const auto& [key, value] : port.options) {
    text += fmt::format("{}{}={}", std::exchange(separator, ','), key, value);
  }
  return text;
}

}  // namespace ringway::gateway
