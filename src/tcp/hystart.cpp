// HyStart++ (RFC 9406): leaves slow start when the delay shows that the queue fills, before it
// overflows.

#include <algorithm>

#include "tcp/congestion.h"

namespace ringway::tcp {
namespace {

// RFC 9406, 4.3.
constexpr std::uint32_t kMinThresholdUs = 4'000;
constexpr std::uint32_t kMaxThresholdUs = 16'000;
constexpr std::uint8_t kSamples = 8;
constexpr std::uint8_t kConservativeRounds = 5;
constexpr std::uint32_t kGrowthDivisor = 4;
constexpr std::uint32_t kUnknown = UINT32_MAX;

bool enough(const HystartState& h) { return h.samples >= kSamples && h.round_min_us != kUnknown; }

void begin_round(Connection& c) {
  HystartState& h = c.hystart;
  h.last_min_us = h.round_min_us;
  h.round_min_us = kUnknown;
  h.samples = 0;
  h.window_end = c.snd.nxt;
  if (h.conservative_rounds == 0) return;
  if (++h.conservative_rounds > kConservativeRounds) c.congestion.ssthresh = c.congestion.cwnd;
}

}  // namespace

void hystart_init(Connection& c) {
  c.hystart = {};
  c.hystart.last_min_us = c.hystart.round_min_us = c.hystart.baseline_us = kUnknown;
  c.hystart.window_end = c.snd.nxt;
}

void hystart_on_rtt(Connection& c, std::uint32_t rtt_us) {
  HystartState& h = c.hystart;
  if (c.congestion.cwnd >= c.congestion.ssthresh) return;
  if (c.snd.una >= h.window_end) begin_round(c);
  h.round_min_us = std::min(h.round_min_us, rtt_us);
  if (h.samples < UINT8_MAX) ++h.samples;
  if (!enough(h)) return;
  const std::uint32_t least = std::min(h.last_min_us, h.baseline_us);
  const std::uint32_t threshold = std::clamp(least / 8, kMinThresholdUs, kMaxThresholdUs);
  if (h.conservative_rounds != 0) {
    // The delay has gone down again: that was no queue.
    if (h.round_min_us < h.baseline_us) h.conservative_rounds = 0;
    // Deviation from 4.2: when it has grown by as much again, there is no need for more rounds.
    if (h.round_min_us >= h.baseline_us + threshold) c.congestion.ssthresh = c.congestion.cwnd;
    return;
  }
  if (h.last_min_us == kUnknown) return;
  if (h.round_min_us >= h.last_min_us + threshold) {
    h.baseline_us = h.round_min_us;
    h.conservative_rounds = 1;
  }
}

std::uint32_t hystart_growth(const Connection& c, std::uint32_t acked) {
  return c.hystart.conservative_rounds != 0 ? acked / kGrowthDivisor : acked;
}

}  // namespace ringway::tcp
