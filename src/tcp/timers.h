#pragma once

#include <cstdint>

#include "tcp/context.h"

namespace ringway::tcp {

/// Puts the connection into the timer situation `kind`, due at `at`.
void set_timer(const Context& t, std::uint32_t index, TimerKind kind, base::Instant at);
/// Chooses the situation that fits: something in flight, something held back, idle, or nothing.
void restart_timer(const Context& t, std::uint32_t index, base::Instant now);
/// RFC 6298 (5.1): runs from now on.
void start_retransmit_timer(const Context& t, std::uint32_t index, base::Instant now);
/// The same, unless it runs already.
void ensure_retransmit_timer(const Context& t, std::uint32_t index, base::Instant now);
/// RFC 9293, 3.8.6.1: data is held back and nothing is in flight that would bring news.
void start_persist_timer(const Context& t, std::uint32_t index, base::Instant now);
/// Sees that an ACK leaves by then.
void delay_ack(const Context& t, std::uint32_t index, base::Instant at);
/// A measured round trip (RFC 6298, 2).
void measure_rtt(Connection& c, base::Duration rtt);

}  // namespace ringway::tcp
