#include "tcp/recovery.h"

#include <algorithm>

#include "tcp/congestion.h"
#include "tcp/lifecycle.h"
#include "tcp/limits.h"
#include "tcp/output.h"
#include "tcp/sack.h"
#include "tcp/timers.h"

namespace ringway::tcp {
namespace {

std::uint32_t flight_size(const Connection& c) {
  return static_cast<std::uint32_t>(c.snd.nxt - c.snd.una);
}

/// What a reduction of the window starts from. While a hole stays open, what lies above it can be
/// many windows: the congestion window is then what was really in flight.
std::uint32_t loss_window(const Connection& c) {
  return std::min(flight_size(c), c.congestion.cwnd);
}

/// Moves lost_edge to what is known by now.
void update_lost_edge(const Context& t, Connection& c) {
  c.lost_edge = base::max(c.lost_edge, scoreboard_lost_edge(t, c));
  // The octet at snd.una is what the peer waits for: lost, unless it was sent again already
  // (RFC 6582, 3.2, step 3, partial acknowledgment).
  if (c.high_rxt <= c.snd.una) c.lost_edge = base::max(c.lost_edge, c.snd.una + c.mss);
}

/// RFC 6675, 5, step 4; RFC 6582, 3.2, step 2.
void enter_fast_recovery(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  CongestionState& s = c.congestion;
  s.ssthresh = congestion_ops(c.options.congestion).on_loss(c, loss_window(c));
  s.cwnd = s.ssthresh;
  c.recovery = Recovery::kFast;
  c.recover = c.snd.nxt;
  c.high_rxt = c.snd.una;
  c.lost_edge = c.snd.una;
  update_lost_edge(t, c);
  update_prediction(c);
  t.count(Counter::kFastRecoveries);
  start_retransmit_timer(t, index, now);  // a whole RTO for what is sent again now
  t.mark_dirty(index, c);
}

void leave_recovery(Connection& c) {
  if (c.recovery == Recovery::kFast) c.congestion.cwnd = c.congestion.ssthresh;
  c.recovery = Recovery::kOpen;
  c.duplicate_acks = 0;
  c.fast_bytes = 0;
  update_prediction(c);
}

}  // namespace

void recovery_on_ack(const Context& t, std::uint32_t index, std::uint32_t acked,
                     base::Instant now) {
  Connection& c = t.conn(index);
  const std::uint32_t flight = flight_size(c) + acked;
  if (c.recovery != Recovery::kOpen && c.snd.una >= c.recover) {
    leave_recovery(c);
    if (flight_size(c) == 0) c.flags &= ~kRetransmitted;
    return;
  }
  if (c.recovery == Recovery::kOpen) {
    c.duplicate_acks = 0;
    c.fast_bytes = 0;
    congestion_on_ack(c, acked, flight, now);
    return;
  }
  // A partial acknowledgment. Without SACK, it takes away what duplicate ACKs stood for, but for
  // the one segment that was lost.
  const std::uint32_t arrived = acked > c.mss ? acked - c.mss : 0;
  c.fast_bytes -= std::min(c.fast_bytes, arrived);
  c.high_rxt = base::max(c.high_rxt, c.snd.una);
  update_lost_edge(t, c);
  // One segment for each ACK after a timeout: most of `acked` may have arrived long before
  // (RFC 3465, 2.3, L = 1).
  if (c.recovery == Recovery::kLoss) {
    congestion_on_ack(c, std::min<std::uint32_t>(acked, c.mss), flight, now);
  }
  t.mark_dirty(index, c);
}

void recovery_on_duplicate(const Context& t, std::uint32_t index, std::uint32_t sacked,
                           base::Instant now) {
  Connection& c = t.conn(index);
  if (c.snd.nxt == c.snd.una) return;
  const bool sack = (c.flags & kSackOk) != 0;
  if (c.duplicate_acks < UINT8_MAX) ++c.duplicate_acks;
  if (!sack && c.recovery != Recovery::kLoss) {
    // Each stands for a segment that has left the network (RFC 5681, 3.2, steps 1 and 4).
    c.fast_bytes = std::min(c.fast_bytes + c.mss, flight_size(c));
  }
  t.mark_dirty(index, c);  // limited transmit (RFC 3042): the pipe has become smaller
  if (c.recovery != Recovery::kOpen) {
    if (sacked != 0) update_lost_edge(t, c);
    // What was sent after the retransmissions has arrived and they have not: they are lost as well.
    const bool lost_again = c.recovery == Recovery::kFast && sack && c.high_rxt > c.snd.una &&
                            scoreboard_lost_edge(t, c) > c.recover;
    if (lost_again) enter_fast_recovery(t, index, now);
    return;
  }
  // RFC 6582, 3.2, step 2: a window that was sent again once brings duplicate ACKs of its own.
  if (c.snd.una < c.recover && c.duplicate_acks < kDuplicateAcks) return;
  const bool lost =
      c.duplicate_acks >= kDuplicateAcks || (sack && scoreboard_lost_edge(t, c) > c.snd.una);
  if (lost) enter_fast_recovery(t, index, now);
}

void recovery_on_timeout(const Context& t, std::uint32_t index) {
  Connection& c = t.conn(index);
  // RFC 6675, 5.1; RFC 2018, 8: a peer that took back what it had SACKed is asked for all again.
  if (scoreboard_reneged(t, c)) scoreboard_clear(t, c);
  // RFC 5681, 3.1 (4): once for each loss, not once for each backoff.
  const bool again = c.recovery == Recovery::kLoss && c.backoff > 1;
  if (!again) {
    c.congestion.ssthresh = congestion_ops(c.options.congestion).on_loss(c, loss_window(c));
  }
  c.congestion.cwnd = c.mss;
  c.recovery = Recovery::kLoss;
  c.recover = c.snd.nxt;
  c.high_rxt = c.snd.una;
  c.lost_edge = c.snd.nxt;
  c.duplicate_acks = 0;
  c.fast_bytes = 0;
  update_prediction(c);
  t.mark_dirty(index, c);
}

}  // namespace ringway::tcp
