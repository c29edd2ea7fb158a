#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace ringway::netd {

/// The ends of a veth pair, by index of interface.
struct VethPair {
  std::uint32_t host = 0;
  std::uint32_t program = 0;
};

/// Makes a pair of one queue each way (frames that are redirected to a veth go to the queue of the
/// processor they are on), up, without IPv6 addresses of its own. A pair of that name that is there
/// is nobody's and goes.
base::Result<VethPair> make_veth(const std::string& host, const std::string& program,
                                 std::uint16_t mtu);
/// With its peer.
void delete_veth(std::uint32_t index);
base::Result<void> set_mtu(std::uint32_t index, std::uint16_t mtu);

}  // namespace ringway::netd
