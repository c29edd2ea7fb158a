#pragma once

#include <cstdint>

namespace ringway::wire {

/// EtherType values (IANA ieee-802-numbers).
enum class EtherType : std::uint16_t {
  kIpv4 = 0x0800,
  kArp = 0x0806,
  kVlan = 0x8100,
  kIpv6 = 0x86dd,
  kServiceVlan = 0x88a8,
};

/// IP protocol and IPv6 next header numbers (IANA protocol-numbers).
enum class Protocol : std::uint8_t {
  kHopByHop = 0,
  kIcmp = 1,
  kIgmp = 2,
  kTcp = 6,
  kUdp = 17,
  kRouting = 43,
  kFragment = 44,
  kEsp = 50,
  kAuthentication = 51,
  kIcmpv6 = 58,
  kNoNextHeader = 59,
  kDestinationOptions = 60,
};

}  // namespace ringway::wire
