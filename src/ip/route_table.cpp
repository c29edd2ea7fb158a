#include "ip/route_table.h"

namespace ringway::ip {
namespace {

bool before(const Route& a, const Route& b) {
  if (a.destination.length != b.destination.length) {
    return a.destination.length > b.destination.length;
  }
  return a.metric < b.metric;
}

}  // namespace

bool RouteTable::add(const Route& route) {
  for (std::uint32_t i = 0; i < count; ++i) {
    Route& r = routes[i];
    if (r.destination == route.destination && r.metric == route.metric &&
        r.interface == route.interface) {
      r = route;
      return true;
    }
  }
  if (count == kMaxRoutes) return false;
  std::uint32_t at = count++;
  for (; at > 0 && before(route, routes[at - 1]); --at) routes[at] = routes[at - 1];
  routes[at] = route;
  return true;
}

bool RouteTable::remove(const base::Prefix& destination, std::uint8_t interface) {
  std::uint32_t kept = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const bool gone = routes[i].destination == destination && routes[i].interface == interface;
    if (!gone) routes[kept++] = routes[i];
  }
  const bool found = kept != count;
  count = kept;
  return found;
}

void RouteTable::remove_interface(std::uint8_t interface) {
  std::uint32_t kept = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (routes[i].interface != interface) routes[kept++] = routes[i];
  }
  count = kept;
}

std::optional<NextHop> RouteTable::lookup(const base::IpAddress& dst) const {
  for (std::uint32_t i = 0; i < count; ++i) {
    const Route& r = routes[i];
    if (!r.destination.contains(dst)) continue;
    return NextHop{r.has_gateway() ? r.gateway : dst, r.interface};
  }
  return std::nullopt;
}

}  // namespace ringway::ip
