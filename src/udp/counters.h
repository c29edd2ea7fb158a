#pragma once

#include <cstdint>
#include <string_view>

#include "base/counters.h"

namespace ringway::udp {

/// What happened, and why a datagram was dropped.
enum class Counter : std::uint8_t {
  kDatagramsIn,
  kDatagramsOut,
  kBytesIn,
  kBytesOut,
  kQueuedOut,  ///< had to wait for a neighbour or for room
  kErrorsIn,   ///< ICMP errors that were passed on
  kDropBadHeader,
  kDropNoSocket,
  kDropReceiveBuffer,  ///< the socket's receive buffer is full
  kDropNoMemory,       ///< no cell or frame left
  kDropShutdown,       ///< nobody reads any more
  kDropPathFailed,     ///< waiting datagrams whose neighbour does not answer
  kIcmpIgnored,        ///< about no socket of ours
  kCount
};

/// "drop_no_socket": the counter's name.
std::string_view name(Counter counter);

using Counters = base::Counters<Counter>;

}  // namespace ringway::udp
