#include <sys/epoll.h>

#include <algorithm>

#include "tcp/congestion.h"
#include "tcp/emit.h"
#include "tcp/lifecycle.h"
#include "tcp/limits.h"
#include "tcp/output.h"
#include "tcp/receive.h"
#include "tcp/recovery.h"
#include "tcp/sack.h"
#include "tcp/timers.h"

namespace ringway::tcp {
namespace {

using base::SeqNum;

/// The round trip that the echoed timestamp tells (RFC 7323, 4.1); -1: none.
std::int32_t stamped_ms(const Connection& c, const Incoming& in) {
  if ((c.flags & kTimestamps) == 0 || !in.h.options.has_timestamps) return -1;
  if (in.h.options.timestamp_echo == 0) return -1;
  return static_cast<std::int32_t>(timestamp_now(c, in.now) - in.h.options.timestamp_echo);
}

/// RFC 6298 (3) and (4): by the octet that was timed, else by the echoed timestamp.
void take_rtt_sample(Connection& c, const Incoming& in) {
  const std::int32_t ms = stamped_ms(c, in);
  const bool timed = (c.flags & kRttTimed) != 0;
  if (timed && in.h.ack >= c.rtt_seq) {
    c.flags &= ~kRttTimed;
    const Duration rtt = in.now - c.rtt_start;
    measure_rtt(c, rtt);
    hystart_on_rtt(
        c, static_cast<std::uint32_t>(std::min<std::int64_t>(rtt.microseconds(), UINT32_MAX - 1)));
  } else if (ms >= 0) {
    if (!timed) measure_rtt(c, Duration::milliseconds(ms));
    hystart_on_rtt(c, static_cast<std::uint32_t>(std::min(ms, 4'000'000)) * 1'000);
  }
}

/// Takes what is acknowledged out of the send queue.
void drop_acknowledged(const Context& t, Connection& c, std::uint32_t octets) {
  std::uint32_t n = std::min(octets, c.tx.bytes);
  while (n != 0) {
    mem::Cell& head = (*t.b.cells)[c.tx.head];
    const std::uint32_t step = std::min(n, head.length);
    if (c.tx_cursor == c.tx.head) {
      if (step == head.length) {
        c.tx_cursor = 0;
      } else {
        c.tx_cursor_seq += step;
      }
    }
    c.tx.drop(t.b, step);
    n -= step;
  }
}

void tell_writer(const Context& t, std::uint32_t index) {
  Connection& c = t.conn(index);
  if ((c.flags & kWantWrite) == 0) return;
  if (!writable(t, index)) {
    if ((c.flags & kReliable) != 0) t.mark_dirty(index, c);  // the window is open, the ring full
    return;
  }
  c.flags &= ~kWantWrite;
  t.raise(index, c, EPOLLOUT);
}

/// snd.una moves to SEG.ACK. True if our FIN is among what was acknowledged.
bool advance(const Context& t, std::uint32_t index, const Incoming& in) {
  Connection& c = t.conn(index);
  const auto acked = static_cast<std::uint32_t>(in.h.ack - c.snd.una);
  take_rtt_sample(c, in);
  drop_acknowledged(t, c, acked);
  c.snd.una = in.h.ack;
  c.backoff = 0;
  c.probes = 0;
  c.first_unacked = in.now;
  scoreboard_advance(t, c);
  recovery_on_ack(t, index, acked, in.now);
  restart_timer(t, index, in.now);
  tell_writer(t, index);
  return (c.flags & kFinSent) != 0 && c.snd.una == c.snd.nxt;
}

/// RFC 5681, 2: what counts as a duplicate ACK.
bool is_duplicate(const Connection& c, const Incoming& in) {
  return in.h.ack == c.snd.una && c.snd.nxt != c.snd.una && in.length() == 0 &&
         in.payload.length == 0 && (std::uint32_t{in.h.window} << c.snd_scale) == c.snd.wnd;
}

/// On a reliable path everything sent is acknowledged; the ACK field only says from where the
/// window counts.
Step receive_ack_reliable(const Context& t, std::uint32_t index, const Incoming& in) {
  Connection& c = t.conn(index);
  const std::int32_t behind = c.snd.nxt - in.h.ack;
  if (behind < 0) {
    t.count(Counter::kDropBadAck);
    challenge_ack(t, index, in.now);
    return Step::kDrop;
  }
  update_send_window(t, index, in);
  return Step::kGoOn;
}

}  // namespace

void update_send_window(const Context& t, std::uint32_t index, const Incoming& in) {
  Connection& c = t.conn(index);
  const std::uint32_t offered = std::uint32_t{in.h.window} << c.snd_scale;
  if ((c.flags & kReliable) != 0) {
    // Right edges come in order here and never move back.
    const std::int32_t room = in.h.ack + offered - c.snd.nxt;
    if (room <= static_cast<std::int32_t>(c.snd.wnd)) return;
    c.snd.wnd = static_cast<std::uint32_t>(room);
    c.max_wnd = std::max(c.max_wnd, c.snd.wnd);
    if (c.tx.bytes != 0) t.mark_dirty(index, c);
    tell_writer(t, index);
    return;
  }
  // RFC 9293, 3.10.7.4: not by an older segment.
  const bool newer = c.wl1 < in.h.seq || (c.wl1 == in.h.seq && c.wl2 <= in.h.ack);
  if (!newer) return;
  const bool grew = in.h.ack + offered > c.snd.una + c.snd.wnd;
  c.snd.wnd = offered;
  c.wl1 = in.h.seq;
  c.wl2 = in.h.ack;
  c.max_wnd = std::max(c.max_wnd, offered);
  if (c.timer == TimerKind::kPersist) {
    c.probes = 0;  // the peer lives
    if (grew) restart_timer(t, index, in.now);
  }
  if (c.tx.bytes != 0) t.mark_dirty(index, c);
}

Step receive_ack(const Context& t, std::uint32_t index, Incoming& in) {
  Connection& c = t.conn(index);
  if ((c.flags & kReliable) != 0) return receive_ack_reliable(t, index, in);
  // RFC 5961, 5.2: neither too new nor older than any window ever was.
  if (in.h.ack > c.snd.nxt || in.h.ack < c.snd.una - c.max_wnd) {
    t.count(Counter::kDropBadAck);
    challenge_ack(t, index, in.now);
    return Step::kDrop;
  }
  std::uint32_t sacked = 0;
  if ((c.flags & kSackOk) != 0) sacked = scoreboard_update(t, c, in.h.options);
  bool fin = false;
  if (in.h.ack > c.snd.una) {
    fin = advance(t, index, in);
  } else if (sacked != 0 || is_duplicate(c, in)) {
    recovery_on_duplicate(t, index, sacked, in.now);
  }
  if (in.h.ack >= c.snd.una) update_send_window(t, index, in);
  if (c.tx.bytes != 0 || (c.flags & kFinDue) != 0) t.mark_dirty(index, c);
  if (c.timer == TimerKind::kKeepalive) c.probes = 0;
  if (fin) fin_acknowledged(t, index, in.now);
  return Step::kGoOn;
}

}  // namespace ringway::tcp
