#include "traffic/pattern.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "port/spec.h"

namespace ringway::traffic {

using base::ErrorCode;
using base::Result;

namespace {

/// "A-B" as its two halves; "A" twice.
std::pair<std::string_view, std::string_view> halves(std::string_view text) {
  const auto dash = text.find('-');
  if (dash == std::string_view::npos) return {text, text};
  return {text.substr(0, dash), text.substr(dash + 1)};
}

std::optional<std::uint32_t> number(std::string_view text, std::uint32_t least,
                                    std::uint32_t most) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (value < least || value > most) return std::nullopt;
  return value;
}

/// The last four bytes of an address, which a range counts in.
std::uint32_t tail_of(const base::IpAddress& address) {
  return static_cast<std::uint32_t>(address.bytes[12]) << 24 |
         static_cast<std::uint32_t>(address.bytes[13]) << 16 |
         static_cast<std::uint32_t>(address.bytes[14]) << 8 | address.bytes[15];
}

base::IpAddress with_tail(base::IpAddress address, std::uint32_t tail) {
  for (std::size_t i = 0; i < 4; ++i) {
    address.bytes[12 + i] = static_cast<std::uint8_t>(tail >> (24 - 8 * i));
  }
  return address;
}

}  // namespace

Result<Sizes> Sizes::parse(std::string_view text) {
  Sizes sizes;
  if (text == "imix") {
    // The "simple IMIX" by count, in an order that spreads the long ones.
    sizes.list_ = {64, 590, 64, 64, 590, 64, 1514, 64, 590, 64, 64, 590};
    sizes.most_ = 1514;
    return sizes;
  }
  const auto [first, last] = halves(text);
  const auto least = number(first, kLeast, kMost);
  const auto most = number(last, kLeast, kMost);
  if (!least || !most || *least > *most) {
    return base::fail(
        ErrorCode::kInvalidArgument,
        fmt::format("'{}' is no frame size; write 64, 64-1514 or imix ({} to {} bytes)", text,
                    kLeast, kMost));
  }
  sizes.least_ = static_cast<std::uint16_t>(*least);
  sizes.most_ = static_cast<std::uint16_t>(*most);
  return sizes;
}

Result<AddressRange> AddressRange::parse(std::string_view text) {
  const auto [first, last] = halves(text);
  const auto from = base::parse_ip(first);
  const auto to = base::parse_ip(last);
  if (!from || !to) {
    return base::fail(ErrorCode::kInvalidArgument,
                      fmt::format("'{}' is no address or range; write 10.0.0.1 or "
                                  "10.0.0.1-10.0.0.20",
                                  text));
  }
  const std::uint32_t least = tail_of(*from);
  const std::uint32_t most = tail_of(*to);
  constexpr std::uint32_t kMostAddresses = 1U << 24;
  if (with_tail(*from, most) != *to || most < least || most - least >= kMostAddresses) {
    return base::fail(ErrorCode::kInvalidArgument,
                      fmt::format("'{}' is no range; the second address must follow the first, "
                                  "2^24 addresses at most",
                                  text));
  }
  return AddressRange{*from, most - least + 1};
}

base::IpAddress AddressRange::of(std::uint32_t n) const {
  return with_tail(first, tail_of(first) + n);
}

Result<PortRange> PortRange::parse(std::string_view text) {
  const auto [first, last] = halves(text);
  const auto from = number(first, 0, UINT16_MAX);
  const auto to = number(last, 0, UINT16_MAX);
  if (!from || !to || *from > *to) {
    return base::fail(ErrorCode::kInvalidArgument,
                      fmt::format("'{}' is no port or range; write 9 or 1000-1999", text));
  }
  return PortRange{static_cast<std::uint16_t>(*from), *to - *from + 1};
}

Result<Rate> Rate::parse(std::string_view text) {
  if (text == "max") return Rate{};
  const auto wrong = [text] {
    return base::fail(
        ErrorCode::kInvalidArgument,
        fmt::format("'{}' is no rate; write max, 250kpps, 1mpps, 100mbit or 1gbit", text));
  };
  if (text.ends_with("pps")) {
    // The same letters as for bits: k is a thousand.
    const auto value = port::parse_value(port::OptionKind::kRate,
                                         std::string(text.substr(0, text.size() - 3)) + "bit");
    if (!value || *value <= 0) return wrong();
    return Rate{static_cast<std::uint64_t>(*value), false};
  }
  const auto value = port::parse_value(port::OptionKind::kRate, text);
  if (!value || *value <= 0) return wrong();
  return Rate{static_cast<std::uint64_t>(*value), true};
}

}  // namespace ringway::traffic
