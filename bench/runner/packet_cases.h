#pragma once

#include <span>
#include <string>

namespace ringway::bench {

/// One comparison of `ringway bench packet`. Both programs print one line of JSON with `mpps`.
struct PacketCase {
  const char* name;
  const char* title;
  const char* ours;       ///< arguments of rw-packet
  const char* peer_name;  ///< as the report shows it
  const char* peer;       ///< arguments of rw-packet-dpdk
  double target;          ///< ratio to the peer, at least
};

std::span<const PacketCase> packet_cases();
const PacketCase* find_packet_case(const std::string& name);

}  // namespace ringway::bench
