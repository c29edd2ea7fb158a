#include <algorithm>
#include <cmath>

#include "tcp/congestion.h"

namespace ringway::tcp {
namespace {

// RFC 9438, 4.1 and 4.6.
constexpr double kC = 0.4;
constexpr double kBeta = 0.7;
constexpr double kAlpha = 3 * (1 - kBeta) / (1 + kBeta);

void cubic_init(Connection& c) {
  c.congestion.w_max = 0;
  c.congestion.epoch = {};
}

/// W_cubic(t) in bytes (RFC 9438, 4.2, figure 1).
double w_cubic(const Connection& c, double seconds) {
  const double t = seconds - c.congestion.k_ms / 1000.0;
  return kC * t * t * t * c.mss + c.congestion.w_max;
}

void start_epoch(Connection& c, base::Instant now) {
  CongestionState& s = c.congestion;
  s.epoch = now;
  s.w_est = s.cwnd;
  if (s.cwnd < s.w_max) {
    const double segments = static_cast<double>(s.w_max - s.cwnd) / c.mss;
    s.k_ms = static_cast<std::uint32_t>(std::cbrt(segments / kC) * 1000);
  } else {
    s.k_ms = 0;
    s.w_max = s.cwnd;
  }
}

void cubic_on_ack(Connection& c, std::uint32_t acked, base::Instant now) {
  CongestionState& s = c.congestion;
  if (s.epoch.ns == 0) start_epoch(c, now);
  const double t = static_cast<double>((now - s.epoch).ns) / 1e9;
  const double cwnd = s.cwnd;
  // RFC 9438, 4.3: what Reno would have by now; after w_max, with Reno's own slope.
  const double alpha = s.w_est >= s.w_max ? 1.0 : kAlpha;
  s.w_est += static_cast<std::uint32_t>(alpha * acked / cwnd * c.mss);
  if (w_cubic(c, t) < s.w_est) {
    s.cwnd = std::max(s.cwnd, s.w_est);
    return;
  }
  // RFC 9438, 4.4 and 4.5: towards the value of one RTT ahead, at most by half.
  const double target = std::clamp(w_cubic(c, t + c.srtt_us / 1e6), cwnd, 1.5 * cwnd);
  s.cwnd += static_cast<std::uint32_t>((target - cwnd) / cwnd * acked);
}

/// RFC 9438, 4.6 and 4.7 (fast convergence).
std::uint32_t cubic_on_loss(Connection& c, std::uint32_t flight) {
  CongestionState& s = c.congestion;
  s.w_max = s.cwnd < s.w_max ? static_cast<std::uint32_t>(s.cwnd * (1 + kBeta) / 2) : s.cwnd;
  s.epoch = {};
  return std::max(static_cast<std::uint32_t>(flight * kBeta), 2U * c.mss);
}

}  // namespace

const CongestionOps kCubicOps{"cubic", cubic_init, cubic_on_ack, cubic_on_loss};

}  // namespace ringway::tcp
