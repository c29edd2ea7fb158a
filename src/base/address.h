#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ringway::base {

/// An Ethernet address, network order.
struct MacAddress {
  std::array<std::uint8_t, 6> bytes{};

  static constexpr MacAddress broadcast() { return {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}; }
  constexpr bool is_multicast() const { return (bytes[0] & 1) != 0; }
  constexpr auto operator<=>(const MacAddress&) const = default;
};

/// An IPv4 or IPv6 address in one type: IPv4 is held as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2).
/// Network order; trivially copyable: it lives in arenas.
struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};

  static constexpr IpAddress v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
    return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}};
  }
  /// `host_order`: 0x7f000001 is 127.0.0.1.
  static constexpr IpAddress v4(std::uint32_t host_order) {
    return v4(static_cast<std::uint8_t>(host_order >> 24),
              static_cast<std::uint8_t>(host_order >> 16),
              static_cast<std::uint8_t>(host_order >> 8), static_cast<std::uint8_t>(host_order));
  }
  static constexpr IpAddress any_v4() { return v4(0, 0, 0, 0); }
  static constexpr IpAddress any_v6() { return {}; }
  static constexpr IpAddress loopback_v4() { return v4(127, 0, 0, 1); }
  static constexpr IpAddress loopback_v6() {
    return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  }
  /// Four or sixteen bytes of a header.
  static IpAddress from_v4_bytes(const std::byte* p) {
    // Made in registers: a four-byte store that is read back in eights stalls the processor.
    std::uint32_t raw;
    std::memcpy(&raw, p, sizeof raw);
    const std::uint64_t low = std::uint64_t{raw} << 32 | 0xffff0000U;
    IpAddress a;
    std::memcpy(a.bytes.data() + 8, &low, sizeof low);
    return a;
  }
  static IpAddress from_v6_bytes(const std::byte* p) {
    IpAddress a;
    std::memcpy(a.bytes.data(), p, 16);
    return a;
  }

  bool is_v4() const { return high() == 0 && middle() == 0xffff0000U; }
  bool is_v6() const { return !is_v4(); }
  /// Host order; only meaningful if is_v4().
  constexpr std::uint32_t to_v4() const {
    return static_cast<std::uint32_t>(bytes[12]) << 24 |
           static_cast<std::uint32_t>(bytes[13]) << 16 |
           static_cast<std::uint32_t>(bytes[14]) << 8 | static_cast<std::uint32_t>(bytes[15]);
  }
  bool is_any() const { return is_v4() ? to_v4() == 0 : *this == any_v6(); }
  bool is_loopback() const { return is_v4() ? bytes[12] == 127 : *this == loopback_v6(); }
  bool is_multicast() const { return is_v4() ? (bytes[12] & 0xf0) == 0xe0 : bytes[0] == 0xff; }
  bool is_link_local() const {
    return is_v4() ? bytes[12] == 169 && bytes[13] == 254
                   : bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
  }

  bool operator==(const IpAddress& o) const { return high() == o.high() && low() == o.low(); }
  auto operator<=>(const IpAddress& o) const { return bytes <=> o.bytes; }

  /// The two halves as they lie in memory: for comparing and hashing only.
  std::uint64_t high() const { return word(0); }
  std::uint64_t low() const { return word(8); }

 private:
  std::uint64_t word(std::size_t at) const {
    std::uint64_t v;
    std::memcpy(&v, bytes.data() + at, sizeof v);
    return v;
  }
  std::uint32_t middle() const {
    std::uint32_t v;
    std::memcpy(&v, bytes.data() + 8, sizeof v);
    return v;
  }
};

/// An address and a port (host order).
struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;

  bool operator==(const Endpoint&) const = default;
};

/// An address with a prefix length. For IPv4 the length is 0 to 32.
struct Prefix {
  IpAddress address;
  std::uint8_t length = 0;

  bool contains(const IpAddress& a) const;
  bool operator==(const Prefix&) const = default;
};

/// "10.0.0.1", "fe80::1". Errors: kInvalidArgument, saying what was expected.
Result<IpAddress> parse_ip(std::string_view text);
/// "10.0.0.1/24", "fd00::1/64"; without a length, the whole address.
Result<Prefix> parse_prefix(std::string_view text);
/// "02:00:5e:10:00:01".
Result<MacAddress> parse_mac(std::string_view text);

std::string to_string(const IpAddress& a);
std::string to_string(const Endpoint& e);  // "10.0.0.1:80", "[fd00::1]:80"
std::string to_string(const Prefix& p);
std::string to_string(const MacAddress& m);

}  // namespace ringway::base
