#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/address.h"

namespace ringway::cli {

/// What tells an echo request from others (RFC 792, RFC 4443 4.1).
struct EchoKey {
  base::IpAddress from;
  base::IpAddress to;
  std::uint16_t id = 0;
  std::uint16_t sequence = 0;
};

/// An Ethernet frame with an ICMP or ICMPv6 echo request and `payload_bytes` behind its header.
std::vector<std::byte> make_echo_request(const EchoKey& key, std::uint16_t payload_bytes);

/// Is this frame the answer to that request?
bool is_echo_reply(std::span<const std::byte> frame, const EchoKey& key);

}  // namespace ringway::cli
