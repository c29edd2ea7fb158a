#include "tcp/congestion.h"

#include <algorithm>
#include <array>

namespace ringway::tcp {
namespace {

/// RFC 6928, 2: min(10 MSS, max(2 MSS, 14600)).
std::uint32_t initial_window(const Connection& c) {
  return std::min(10U * c.mss, std::max(2U * c.mss, 14600U));
}

void reno_init(Connection&) {}

/// RFC 5681, 3.1 (3): one MSS for each window of acknowledged octets.
void reno_on_ack(Connection& c, std::uint32_t acked, base::Instant) {
  CongestionState& s = c.congestion;
  s.acked += acked;
  if (s.acked >= s.cwnd) {
    s.acked -= s.cwnd;
    s.cwnd += c.mss;
  }
}

/// RFC 5681, 3.1 (4).
std::uint32_t reno_on_loss(Connection& c, std::uint32_t flight) {
  c.congestion.acked = 0;
  return std::max(flight / 2, 2U * c.mss);
}

}  // namespace

const CongestionOps kRenoOps{"reno", reno_init, reno_on_ack, reno_on_loss};

const CongestionOps& congestion_ops(Congestion algorithm) {
  static constexpr std::array<const CongestionOps*, static_cast<std::size_t>(Congestion::kCount)>
      kTable = {&kCubicOps, &kRenoOps};
  const auto i = static_cast<std::size_t>(algorithm);
  return *kTable[i < kTable.size() ? i : 0];
}

std::optional<Congestion> congestion_by_name(std::string_view name) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(Congestion::kCount); ++i) {
    const auto algorithm = static_cast<Congestion>(i);
    if (congestion_ops(algorithm).name == name) return algorithm;
  }
  return std::nullopt;
}

void congestion_init(Connection& c) {
  c.congestion = {};
  c.congestion.cwnd = initial_window(c);
  // RFC 6298 (5.7) aside: a SYN that was lost starts with one segment (RFC 5681, 3.1).
  if ((c.flags & kRetransmitted) != 0) c.congestion.cwnd = c.mss;
  c.congestion.ssthresh = UINT32_MAX;
  hystart_init(c);
  congestion_ops(c.options.congestion).init(c);
}

std::uint32_t slow_start(Connection& c, std::uint32_t acked) {
  CongestionState& s = c.congestion;
  if (s.cwnd >= s.ssthresh) return acked;
  const std::uint32_t step = std::min({acked, 2U * c.mss, s.ssthresh - s.cwnd});
  s.cwnd += hystart_growth(c, step);
  return s.cwnd >= s.ssthresh ? acked - step : 0;
}

void congestion_on_ack(Connection& c, std::uint32_t acked, std::uint32_t flight,
                       base::Instant now) {
  CongestionState& s = c.congestion;
  // A window that the application does not fill proves nothing about the path (RFC 7661).
  const bool limited = s.cwnd < s.ssthresh ? flight >= s.cwnd / 2 : flight + c.mss >= s.cwnd;
  if (!limited) return;
  // Stretch ACKs count in full: GSO and offloads make them the rule (Linux does so as well).
  while (acked > 2U * c.mss && s.cwnd < s.ssthresh) {
    slow_start(c, 2U * c.mss);
    acked -= 2U * c.mss;
  }
  acked = slow_start(c, acked);
  if (acked != 0) congestion_ops(c.options.congestion).on_ack(c, acked, now);
  constexpr std::uint32_t kMaxWindow = 1U << 30;
  s.cwnd = std::min(s.cwnd, kMaxWindow);
}

void congestion_restart_idle(Connection& c, base::Instant now) {
  const base::Duration rto = base::Duration::microseconds(c.rto_us);
  if (now - c.last_sent <= rto) return;
  c.congestion.cwnd = std::min(c.congestion.cwnd, initial_window(c));
  c.congestion.epoch = {};
}

}  // namespace ringway::tcp
