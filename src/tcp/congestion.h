#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/time.h"
#include "tcp/connection.h"

namespace ringway::tcp {

/// A congestion control algorithm: plain functions on what it keeps in the connection. The rest of
/// TCP sets cwnd only for a timeout and for a restart after idleness.
struct CongestionOps {
  std::string_view name;
  void (*init)(Connection&);
  /// New data was acknowledged outside of fast recovery, and cwnd was what limited us.
  void (*on_ack)(Connection&, std::uint32_t acked, base::Instant now);
  /// A loss was seen with `flight` octets in flight: returns the new ssthresh.
  std::uint32_t (*on_loss)(Connection&, std::uint32_t flight);
};

extern const CongestionOps kCubicOps;  // cubic.cpp
extern const CongestionOps kRenoOps;   // congestion.cpp

const CongestionOps& congestion_ops(Congestion algorithm);
/// "cubic", "reno".
std::optional<Congestion> congestion_by_name(std::string_view name);

/// Initial window (RFC 6928) and a fresh start of the algorithm.
void congestion_init(Connection& c);
/// Slow start and congestion avoidance on `acked` new octets; `flight` was in flight before.
void congestion_on_ack(Connection& c, std::uint32_t acked, std::uint32_t flight, base::Instant now);
/// Restart after an idle time of more than an RTO (RFC 5681, 4.1).
void congestion_restart_idle(Connection& c, base::Instant now);
void hystart_init(Connection& c);
/// A round trip that new data took.
void hystart_on_rtt(Connection& c, std::uint32_t rtt_us);
/// What slow start may count of `acked` octets.
std::uint32_t hystart_growth(const Connection& c, std::uint32_t acked);
/// Slow start by bytes (RFC 5681, 3.1, with RFC 3465, L = 2). Returns the octets left over.
std::uint32_t slow_start(Connection& c, std::uint32_t acked);

}  // namespace ringway::tcp
