#pragma once

#include <cstdint>

#include "base/address.h"

namespace ringway::port {

/// What a port can do; the stack adapts to it. Fixed while the port is open, but for `mtu`.
struct Caps {
  base::MacAddress mac;      ///< of this end
  std::uint16_t mtu = 1500;  ///< largest IP packet on the wire
  std::uint32_t max_frame =
      1514;               ///< largest frame that tx takes at once, in bytes, L2 header included
  bool reliable = false;  ///< consuming a descriptor is the delivery: nothing is lost or reordered
  bool neighbours_known = false;  ///< no ARP or ND: every frame reaches the one peer
  bool tx_checksum = false;       ///< takes frames with kFrameCsumNeeded
  bool tx_gso = false;            ///< takes TCP frames of up to max_frame bytes with gso_size set
  bool rx_checksum_trusted = false;  ///< received frames need no checksum check
};

}  // namespace ringway::port
