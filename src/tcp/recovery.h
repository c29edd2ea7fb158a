#pragma once

#include <cstdint>

#include "tcp/context.h"

namespace ringway::tcp {

// Loss recovery: RFC 6675 with SACK, RFC 6582 (NewReno) without, RFC 6298 for timeouts. All three
// work on the same picture: below `lost_edge`, what is not SACKed is lost; up to `high_rxt` it was
// sent again; recovery ends at `recover`.

/// An ACK that acknowledged `acked` octets (snd.una has moved).
void recovery_on_ack(const Context& t, std::uint32_t index, std::uint32_t acked, base::Instant now);
/// A duplicate ACK, or one that SACKed `sacked` octets that were not known.
void recovery_on_duplicate(const Context& t, std::uint32_t index, std::uint32_t sacked,
                           base::Instant now);
/// The retransmission timer expired: everything not SACKed is lost.
void recovery_on_timeout(const Context& t, std::uint32_t index);

}  // namespace ringway::tcp
