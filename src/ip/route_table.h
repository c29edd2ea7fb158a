#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/address.h"

namespace ringway::ip {

/// One route. An unspecified gateway says that the destination itself is the next hop.
struct Route {
  base::Prefix destination;
  base::IpAddress gateway;
  std::uint32_t metric;  ///< lower wins among equal prefixes
  std::uint8_t interface;

  bool has_gateway() const { return !gateway.is_any(); }
};

struct NextHop {
  base::IpAddress address;
  std::uint8_t interface = 0;
};

/// Routes of one stack, longest prefix first. Small by nature: a stack is a host, no router, so a
/// scan of a sorted array beats any tree. All zero is empty.
struct RouteTable {
  static constexpr std::uint32_t kMaxRoutes = 64;

  std::uint32_t count;
  std::array<Route, kMaxRoutes> routes;

  /// Replaces a route with the same destination, metric and interface. False if full.
  bool add(const Route& route);
  bool remove(const base::Prefix& destination, std::uint8_t interface);
  void remove_interface(std::uint8_t interface);
  /// Longest prefix, then lowest metric.
  std::optional<NextHop> lookup(const base::IpAddress& dst) const;
};

}  // namespace ringway::ip
