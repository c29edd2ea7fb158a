#pragma once

#include <cstdint>
#include <string_view>

#include "base/counters.h"

namespace ringway::gateway {

/// What a gateway did with frames, and why it dropped some. Names: counters.cpp.
enum class Count : std::uint32_t {
  kToTap,
  kToStacks,
  kResetsSent,  ///< for closed TCP ports
  kLinksUp,
  kLinksDown,
  // from the tap
  kDropTapParse,     ///< not a packet that we understand
  kDropTapNotForUs,  ///< another MAC, a VLAN, an address that no host has
  kDropTapMartian,   ///< source address is a host's of the network, or none of one station
  kDropNobody,       ///< no stack for it, and nothing to be answered
  kDropNoLink,       ///< the owner could not be reached: ringwayd, or too many links
  kDropLinkFull,     ///< the owner does not read as fast as the kernel writes
  // from links
  kDropLinkParse,      ///< not a packet that we understand
  kDropForeignSource,  ///< source address or port is not the sender's
  kDropMisdirected,    ///< destination is a host's of the network, or not of one station
  kDropForbidden,      ///< a protocol or message that stacks have no business to send out
  kDropTooLong,        ///< longer than the tap's MTU and not to be cut
  kDropNoRoute,        ///< the kernel side has no neighbour for it
  kDropTapFull,        ///< the tap does not take frames
  kCount
};

std::string_view name(Count count);

using Counters = base::Counters<Count>;

}  // namespace ringway::gateway
