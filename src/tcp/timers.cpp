#include "tcp/timers.h"

#include <algorithm>
#include <cerrno>

#include "tcp/lifecycle.h"
#include "tcp/limits.h"
#include "tcp/output.h"
#include "tcp/recovery.h"
#include "tcp/tcp.h"

namespace ringway::tcp {
namespace {

Duration backed_off(const Connection& c, Duration base) {
  Duration d = base;
  for (std::uint8_t i = 0; i < c.backoff && d < kMaxRto; ++i) d = d * 2;
  return std::min(d, kMaxRto);
}

Duration retransmit_after(const Connection& c) {
  const bool handshake = c.state == State::kSynSent || c.state == State::kSynReceived;
  if (handshake && (c.flags & kReliable) != 0) return backed_off(c, kReliableSynRetry);
  return backed_off(c, Duration::microseconds(c.rto_us));
}

bool user_timeout_passed(const Connection& c, base::Instant now) {
  return c.options.user_timeout_ms != 0 &&
         now - c.first_unacked >= Duration::milliseconds(c.options.user_timeout_ms);
}

/// The peer does not answer any more.
void give_up(const Context& t, std::uint32_t index, bool reset) {
  Connection& c = t.conn(index);
  if (reset && c.state != State::kSynSent) {
    c.error = ETIMEDOUT;
    t.raise(index, c, 0);
    t.due(index, c, kResetDue);
    c.timer = TimerKind::kNone;
    return;
  }
  terminate(t, index, ETIMEDOUT);
}

std::uint8_t retry_limit(const Connection& c) {
  if (c.state == State::kSynSent) return (c.flags & kReliable) != 0 ? 10 : kSynRetries;
  if (c.state == State::kSynReceived) return kSynAckRetries;
  return (c.flags & kOrphan) != 0 ? kOrphanRetries : kDataRetries;
}

/// RFC 6298 (5.4) to (5.7).
void on_retransmit(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  if (c.backoff >= retry_limit(c) || user_timeout_passed(c, now)) {
    give_up(t, index, false);
    return;
  }
  ++c.backoff;
  ++c.timeouts;
  t.count(Counter::kTimeouts);
  c.flags = (c.flags | kRetransmitted) & ~kRttTimed;
  if (c.state == State::kSynSent || c.state == State::kSynReceived) {
    ++c.retransmits;
    t.count(Counter::kRetransmits);
    t.due(index, c, kSynDue);
  } else {
    recovery_on_timeout(t, index);
  }
  set_timer(t, index, TimerKind::kRetransmit, now + retransmit_after(c));
}

/// A zero-window probe, or a corked segment that has waited long enough.
void on_persist(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  if (unsent_bytes(c) == 0) {
    restart_timer(t, index, now);
    return;
  }
  if (c.snd.una + c.snd.wnd > c.snd.nxt) {
    // The window is open, if only a bit: RFC 9293, 3.8.6.2.1, the override timeout.
    t.due(index, c, kPushAll);
    c.timer = TimerKind::kNone;
    return;
  }
  if ((c.flags & kReliable) != 0) {
    c.timer = TimerKind::kNone;  // a window update cannot be lost
    return;
  }
  if (user_timeout_passed(c, now) || ((c.flags & kOrphan) != 0 && c.probes >= kOrphanRetries)) {
    give_up(t, index, true);
    return;
  }
  t.count(Counter::kWindowProbes);
  if (c.probes < UINT8_MAX) ++c.probes;
  if (c.backoff < UINT8_MAX) ++c.backoff;
  t.due(index, c, kProbeDue);
  set_timer(t, index, TimerKind::kPersist, now + retransmit_after(c));
}

/// RFC 9293, 3.8.4.
void on_keepalive(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  const base::Instant idle_until = c.last_received + Duration::seconds(c.options.keepalive_idle_s);
  if (now < idle_until) {
    c.probes = 0;
    set_timer(t, index, TimerKind::kKeepalive, idle_until);
    return;
  }
  const bool timed_out = c.options.user_timeout_ms != 0 && c.probes != 0 &&
                         now - c.last_received >= Duration::milliseconds(c.options.user_timeout_ms);
  if (c.probes >= c.options.keepalive_count || timed_out) {
    give_up(t, index, true);
    return;
  }
  ++c.probes;
  t.count(Counter::kKeepaliveProbes);
  t.due(index, c, kProbeDue);
  set_timer(t, index, TimerKind::kKeepalive,
            now + Duration::seconds(std::max<std::uint16_t>(c.options.keepalive_interval_s, 1)));
}

void run_timer(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  if (c.delayed_ack_at <= now) {
    c.delayed_ack_at = base::Instant::never();
    t.due(index, c, kAckDue);
  }
  if (c.timer == TimerKind::kNone || c.timer_at > now) return;
  switch (c.timer) {
    case TimerKind::kRetransmit:
      on_retransmit(t, index, now);
      break;
    case TimerKind::kPersist:
      on_persist(t, index, now);
      break;
    case TimerKind::kKeepalive:
      on_keepalive(t, index, now);
      break;
    case TimerKind::kClose:
      terminate(t, index, 0);
      break;
    case TimerKind::kNone:
      break;
  }
}

base::Instant earliest(const Connection& c) {
  const base::Instant at = c.timer == TimerKind::kNone ? base::Instant::never() : c.timer_at;
  return std::min(at, c.delayed_ack_at);
}

}  // namespace

void set_timer(const Context& t, std::uint32_t index, TimerKind kind, base::Instant at) {
  Connection& c = t.conn(index);
  c.timer = kind;
  c.timer_at = at;
  if (kind != TimerKind::kNone) t.s->wheel.arm(t.s->connections, index, at);
}

void start_retransmit_timer(const Context& t, std::uint32_t index, base::Instant now) {
  set_timer(t, index, TimerKind::kRetransmit, now + retransmit_after(t.conn(index)));
}

void ensure_retransmit_timer(const Context& t, std::uint32_t index, base::Instant now) {
  if (t.conn(index).timer != TimerKind::kRetransmit) start_retransmit_timer(t, index, now);
}

void start_persist_timer(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  const bool open = c.snd.una + c.snd.wnd > c.snd.nxt;
  if (c.timer != TimerKind::kPersist) {
    c.first_unacked = now;
    c.backoff = 0;
  }
  set_timer(t, index, TimerKind::kPersist, now + (open ? kCorkTime : retransmit_after(c)));
}

void restart_timer(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  if (c.state == State::kTimeWait || c.state == State::kClosed) return;
  if (c.snd.nxt != c.snd.una) {
    start_retransmit_timer(t, index, now);
  } else if (c.state == State::kFinWait2 && (c.flags & kOrphan) != 0) {
    set_timer(t, index, TimerKind::kClose, now + kFinWait2);
  } else if (c.options.keepalive && (c.flags & kReliable) == 0) {
    c.probes = 0;
    set_timer(t, index, TimerKind::kKeepalive, now + Duration::seconds(c.options.keepalive_idle_s));
  } else {
    c.timer = TimerKind::kNone;
  }
}

void delay_ack(const Context& t, std::uint32_t index, base::Instant at) {
  Connection& c = t.conn(index);
  if (c.delayed_ack_at <= at) return;
  c.delayed_ack_at = at;
  t.s->wheel.arm(t.s->connections, index, at);
}

void measure_rtt(Connection& c, base::Duration rtt) {
  const auto r = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(rtt.microseconds(), 1, kMaxRto.microseconds()));
  if (c.srtt_us == 0) {
    c.srtt_us = r;
    c.rttvar_us = r / 2;
    c.rtt_min_us = r;
  } else {
    // (2.3), with alpha 1/8 and beta 1/4, rounded up so that small values do not stick.
    const std::uint32_t delta = c.srtt_us > r ? c.srtt_us - r : r - c.srtt_us;
    c.rttvar_us = c.rttvar_us - c.rttvar_us / 4 + delta / 4;
    c.srtt_us = c.srtt_us - c.srtt_us / 8 + (r + 7) / 8;
    c.rtt_min_us = std::min(c.rtt_min_us, r);
  }
  const auto variance =
      std::max<std::int64_t>(kClockGranularity.microseconds(), 4 * std::int64_t{c.rttvar_us});
  c.rto_us = static_cast<std::uint32_t>(std::clamp<std::int64_t>(
      c.srtt_us + variance, kMinRto.microseconds(), kMaxRto.microseconds()));
}

void Tcp::on_timers(base::Instant now) {
  for (;;) {
    const std::uint32_t index = t_.s->wheel.expire(t_.s->connections, now);
    if (index == 0) return;
    const std::uint32_t generation = conn(index).generation;
    run_timer(t_, index, now);
    Connection& c = conn(index);
    // The node is out of the wheel: put it to where the next deadline is by now.
    if (c.generation != generation || c.state == State::kClosed) continue;
    const base::Instant next = earliest(c);
    if (!next.is_never()) t_.s->wheel.arm(t_.s->connections, index, next);
  }
}

}  // namespace ringway::tcp
