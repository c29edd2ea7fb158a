#pragma once

#include <array>
#include <cstdint>

#include "base/address.h"
#include "base/random.h"
#include "base/time.h"

namespace ringway::ip {

/// What routers said about the MTU towards a destination (RFC 1191, RFC 8201). A small two-way
/// cache: a lost entry costs one more "packet too big". All zero is empty.
struct PathMtuCache {
  static constexpr std::uint32_t kSets = 128;
  static constexpr std::uint32_t kWays = 2;
  static constexpr std::uint16_t kMinV4 = 552;   // as hosts commonly do: lower values are attacks
  static constexpr std::uint16_t kMinV6 = 1280;  // RFC 8200, 5
  // RFC 1191, 6.3 and RFC 8201, 5.3: ten minutes, then larger packets are tried again.
  static constexpr base::Duration kLifetime = base::Duration::seconds(600);

  struct Entry {
    base::IpAddress dst;
    base::Instant expires;
    std::uint16_t mtu;
  };
  std::array<std::array<Entry, kWays>, kSets> sets;

  /// The limit for `dst`, or `interface_mtu` if nothing lower is known.
  std::uint16_t lookup(const base::IpAddress& dst, std::uint16_t interface_mtu,
                       base::Instant now) const {
    for (const Entry& e : set_of(dst)) {
      if (e.mtu != 0 && e.dst == dst && now < e.expires && e.mtu < interface_mtu) return e.mtu;
    }
    return interface_mtu;
  }

  /// Notes a reported MTU. Returns true if it lowers what `dst` may be sent. `reported` 0 is a
  /// router that does not say (RFC 1191, 5): the next plateau below `packet_length` is taken.
  bool learn(const base::IpAddress& dst, std::uint32_t reported, std::uint16_t packet_length,
             std::uint16_t interface_mtu, base::Instant now);

 private:
  static std::uint64_t hash(const base::IpAddress& dst) {
    return base::Random::mix(dst.high() ^ base::Random::mix(dst.low()));
  }
  const std::array<Entry, kWays>& set_of(const base::IpAddress& dst) const {
    return sets[hash(dst) % kSets];
  }
};

}  // namespace ringway::ip
