#include "ip/path_mtu.h"

#include <algorithm>

namespace ringway::ip {
namespace {

// RFC 1191, 7.1.
constexpr std::array<std::uint16_t, 9> kPlateaus = {65535, 32000, 17914, 8166, 4352,
                                                    2002,  1492,  1006,  508};

std::uint32_t plateau_below(std::uint16_t length) {
  for (const std::uint16_t p : kPlateaus) {
    if (p < length) return p;
  }
  return kPlateaus.back();
}

}  // namespace

bool PathMtuCache::learn(const base::IpAddress& dst, std::uint32_t reported,
                         std::uint16_t packet_length, std::uint16_t interface_mtu,
                         base::Instant now) {
  const std::uint32_t least = dst.is_v4() ? kMinV4 : kMinV6;
  const std::uint32_t said = reported != 0 ? reported : plateau_below(packet_length);
  const std::uint32_t mtu = std::max(said, least);
  if (mtu >= lookup(dst, interface_mtu, now)) return false;
  auto& set = sets[hash(dst) % kSets];
  Entry* victim = &set[0];
  for (Entry& e : set) {
    if (e.dst == dst && e.mtu != 0) {
      victim = &e;
      break;
    }
    if (e.expires < victim->expires) victim = &e;
  }
  *victim = {dst, now + kLifetime, static_cast<std::uint16_t>(mtu)};
  return true;
}

}  // namespace ringway::ip
