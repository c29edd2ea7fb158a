#pragma once

#include <cstdint>
#include <string_view>

#include "base/counters.h"

namespace ringway::ip {

/// What happened to packets in ip. Names of drops start with kDrop.
enum class Counter : std::uint8_t {
  kDelivered,
  kEchoReplied,
  kErrorReceived,
  kErrorSent,
  kErrorSuppressed,  // not allowed to answer (RFC 1122, 3.2.2; RFC 4443, 2.4 (e)), or rate limit
  kArpReceived,
  kArpReplied,
  kNdReceived,
  kNdAdvertised,
  kSolicited,
  kAddressConflict,
  kNeighbourEvicted,
  kFragmentReceived,
  kFragmentSent,
  kReassembled,
  kDropNotForUs,
  kDropMartian,  // source or destination that must not be on this interface
  kDropBadArp,
  kDropBadNd,
  kDropBadIcmp,  // an error whose quotation makes no sense, or is not of a packet of ours
  kDropUnhandledIcmp,
  kDropFragmentOverlap,
  kDropFragmentInconsistent,
  kDropFragmentLimit,  // no memory, too many pieces
  kDropFragmentTimeout,
  kDropUnresolved,  // pending packets of a neighbour that did not answer
  kDropPendingFull,
  kDropNoRoom,    // a reply found no room in the batch
  kDropNoSource,  // no address of ours to send from
  kCount,
};

/// "drop_not_for_us": the counter's name.
std::string_view name(Counter counter);

using Counters = base::Counters<Counter>;

}  // namespace ringway::ip
