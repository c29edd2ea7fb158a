#pragma once

#include <cstdint>

#include "tcp/context.h"

namespace ringway::tcp {

/// Sends everything that `index` owes: reset, SYN, data, FIN, ACK. False: the port has no room (or
/// the path is not resolved), and something is left. The connection may be gone afterwards.
bool output_connection(const Context& t, std::uint32_t index, base::Instant now);

/// Sends data of `tx` along an unreliable path: retransmissions first, then new data, then FIN.
bool output_stream(const Context& t, std::uint32_t index, base::Instant now);
/// Sends what waits in `tx` along a reliable path, then FIN.
bool output_reliable(const Context& t, std::uint32_t index, base::Instant now);
/// Sends FIN on a reliable path, where that is its delivery. False: no room.
bool send_fin_reliable(const Context& t, std::uint32_t index, base::Instant now);

/// Sends again the first segment that is not acknowledged. False: no room.
bool retransmit_first(const Context& t, std::uint32_t index, base::Instant now);
/// A segment that forces the peer to tell its window: an octet that it has already.
bool send_probe(const Context& t, std::uint32_t index, base::Instant now);

/// True if send() would take at least one byte.
bool writable(const Context& t, std::uint32_t index);
/// Payload of the largest frame that may be sent at once.
std::uint32_t max_payload(const Context& t, const Connection& c);
/// True in the states in which our data may still be on its way.
inline bool may_send_data(State state) {
  return state == State::kEstablished || state == State::kCloseWait || state == State::kFinWait1 ||
         state == State::kClosing || state == State::kLastAck;
}
/// Octets of `tx` that were never sent. On a reliable path, all.
inline std::uint32_t unsent_bytes(const Connection& c) {
  if ((c.flags & kReliable) != 0) return c.tx.bytes;
  const auto sent =
      static_cast<std::uint32_t>(c.snd.nxt - c.snd.una) - ((c.flags & kFinSent) != 0 ? 1U : 0U);
  return c.tx.bytes - std::min(c.tx.bytes, sent);
}

}  // namespace ringway::tcp
