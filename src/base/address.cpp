#include "base/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>

namespace ringway::base {

bool Prefix::contains(const IpAddress& a) const {
  if (a.is_v4() != address.is_v4()) return false;
  const unsigned bits = address.is_v4() ? length + 96U : length;
  for (unsigned i = 0; i < 16; ++i) {
    const unsigned left = bits > i * 8 ? bits - i * 8 : 0;
    if (left == 0) return true;
    const auto mask = static_cast<std::uint8_t>(left >= 8 ? 0xff : 0xff << (8 - left));
    if (((a.bytes[i] ^ address.bytes[i]) & mask) != 0) return false;
  }
  return true;
}

Result<IpAddress> parse_ip(std::string_view text) {
  const std::string copy(text);
  std::array<std::byte, 16> raw{};
  if (inet_pton(AF_INET, copy.c_str(), raw.data()) == 1)
    return IpAddress::from_v4_bytes(raw.data());
  if (inet_pton(AF_INET6, copy.c_str(), raw.data()) == 1)
    return IpAddress::from_v6_bytes(raw.data());
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("'{}' is no IP address; expected one like 10.0.0.1 or fd00::1", text));
}

Result<Prefix> parse_prefix(std::string_view text) {
  const auto slash = text.find('/');
  auto address = parse_ip(text.substr(0, slash));
  if (!address) return tl::unexpected(address.error());
  const unsigned most = address->is_v4() ? 32 : 128;
  unsigned length = most;
  if (slash != std::string_view::npos) {
    const auto digits = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (error != std::errc{} || end != digits.data() + digits.size() || length > most) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("'{}' has no valid prefix length; expected /0 to /{}", text, most));
    }
  }
  return Prefix{*address, static_cast<std::uint8_t>(length)};
}

Result<MacAddress> parse_mac(std::string_view text) {
  MacAddress mac;
  const bool shaped = text.size() == 17;
  for (std::size_t i = 0; shaped && i < 6; ++i) {
    const char* digits = text.data() + i * 3;
    const auto [end, error] = std::from_chars(digits, digits + 2, mac.bytes[i], 16);
    const bool separated = i == 5 || digits[2] == ':';
    if (error != std::errc{} || end != digits + 2 || !separated) break;
    if (i == 5) return mac;
  }
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("'{}' is no MAC address; expected one like 02:00:5e:10:00:01", text));
}

std::string to_string(const IpAddress& a) {
  char text[INET6_ADDRSTRLEN] = "";
  if (a.is_v4()) {
    inet_ntop(AF_INET, a.bytes.data() + 12, text, sizeof text);
  } else {
    inet_ntop(AF_INET6, a.bytes.data(), text, sizeof text);
  }
  return text;
}

std::string to_string(const Endpoint& e) {
  return e.address.is_v4() ? fmt::format("{}:{}", to_string(e.address), e.port)
                           : fmt::format("[{}]:{}", to_string(e.address), e.port);
}

std::string to_string(const Prefix& p) {
  return fmt::format("{}/{}", to_string(p.address), p.length);
}

std::string to_string(const MacAddress& m) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", m.bytes[0], m.bytes[1],
                     m.bytes[2], m.bytes[3], m.bytes[4], m.bytes[5]);
}

}  // namespace ringway::base
