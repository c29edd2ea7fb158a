#pragma once

#include <cstdint>

#include "base/counters.h"

namespace ringway::tcp {

/// What happened, and why a segment was dropped.
enum class Counter : std::uint8_t {
  kSegmentsIn,  ///< not counting the fast path's: see kFastIn
  kFastIn,      ///< segments that took the short way
  kSegmentsOut,
  kBytesIn,
  kBytesOut,
  kConnects,  ///< active opens
  kAccepts,   ///< passive opens that were established
  kResetsIn,
  kResetsOut,
  kRetransmits,  ///< segments sent again
  kTimeouts,     ///< retransmission timer
  kFastRecoveries,
  kOutOfOrder,
  kDuplicates,  ///< nothing new in the segment
  kChallengeAcks,
  kKeepaliveProbes,
  kWindowProbes,
  kDropBadHeader,     ///< header length or options
  kDropNoConnection,  ///< answered by a reset
  kDropBacklog,       ///< SYN, and the listener's queues are full
  kDropNoMemory,      ///< no connection, cell or frame left
  kDropSequence,      ///< outside of the window
  kDropPaws,
  kDropBadAck,
  kDropBadFlags,
  kDropAfterClose,
  kDropPathDown,
  kDropChallengeLimit,
  kDropOutOfOrder,  ///< too much out of order already
  kIcmpIgnored,     ///< its sequence number is not in flight
  kCount,
};
const char* name(Counter counter);
using Counters = base::Counters<Counter>;

}  // namespace ringway::tcp
