#include <sys/epoll.h>

#include <algorithm>

#include "tcp/congestion.h"
#include "tcp/emit.h"
#include "tcp/lifecycle.h"
#include "tcp/output.h"
#include "tcp/sack.h"
#include "tcp/timers.h"

namespace ringway::tcp {
namespace {

/// Copies [seq, seq + out.size()) of the send queue. The cursor remembers the cell where new data
/// starts, so that a long queue is not walked for each segment.
void copy_queued(const Context& t, Connection& c, base::SeqNum seq, std::span<std::byte> out) {
  mem::ByteQueue& q = c.tx;
  std::uint32_t cell = q.head;
  base::SeqNum cell_seq = c.snd.una;
  if (c.tx_cursor != 0 && c.tx_cursor_seq <= seq) {
    cell = c.tx_cursor;
    cell_seq = c.tx_cursor_seq;
  }
  std::size_t done = 0;
  while (cell != 0 && done < out.size()) {
    mem::Cell& k = (*t.b.cells)[cell];
    const auto skip = static_cast<std::uint32_t>(seq + static_cast<std::uint32_t>(done) - cell_seq);
    if (skip < k.length) {
      const auto n = std::min<std::size_t>(k.length - skip, out.size() - done);
      std::memcpy(out.data() + done, t.b.bytes(k) + skip, n);
      done += n;
      if (done == out.size()) break;
    }
    cell_seq += k.length;
    cell = k.next;
  }
  if (cell != 0 && seq + static_cast<std::uint32_t>(out.size()) >= c.snd.nxt) {
    c.tx_cursor = cell;
    c.tx_cursor_seq = cell_seq;
  }
}

/// Sends [seq, seq + n) of the queue, with FIN behind it if `fin`. False: no room.
bool send_range(const Context& t, Connection& c, base::SeqNum seq, std::uint32_t n, bool fin,
                base::Instant now) {
  const bool last = seq + n == c.snd.una + c.tx.bytes;
  const auto flags = static_cast<std::uint8_t>((last && n != 0 ? wire::TcpFlags::kPsh : 0) |
                                               (fin ? wire::TcpFlags::kFin : 0));
  const Draft d = begin_segment(t, c, seq, flags, n, now);
  if (d.payload == nullptr) return false;
  copy_queued(t, c, seq, {d.payload, n});
  finish_segment(t, c, d);
  c.last_sent = now;
  return true;
}

void note_retransmission(const Context& t, Connection& c) {
  c.flags = (c.flags | kRetransmitted) & ~kRttTimed;  // Karn: no measurement across this
  ++c.retransmits;
  t.count(Counter::kRetransmits);
}

/// Octets from `seq` to the end of what was sent, FIN included, and whether FIN is among them.
struct Range {
  std::uint32_t bytes;  ///< of the queue
  bool fin;
};
Range range_from(const Connection& c, base::SeqNum seq, base::SeqNum end, std::uint32_t limit) {
  const base::SeqNum data_end = c.snd.una + c.tx.bytes;
  const base::SeqNum stop = base::min(end, data_end);
  const auto left = stop > seq ? static_cast<std::uint32_t>(stop - seq) : 0;
  const std::uint32_t n = std::min(left, limit);
  const bool fin = (c.flags & kFinSent) != 0 && seq + n == data_end && end > data_end;
  return {n, fin};
}

/// NextSeg() of RFC 6675, 4 (1) and (3): holes below lost_edge, as far as cwnd allows.
bool send_lost(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  if (c.recovery == Recovery::kOpen) return true;
  std::uint32_t in_flight = pipe(t, c);
  // What the peer waits for goes at once, whatever the window (RFC 6675, 5, (4.3); RFC 6582, 3.2).
  bool first = c.high_rxt <= c.snd.una;
  while (first || in_flight < c.congestion.cwnd) {
    first = false;
    const Hole hole = next_hole(t, c, base::max(c.high_rxt, c.snd.una));
    if (hole.begin >= c.lost_edge || hole.begin >= c.snd.nxt) break;
    const base::SeqNum end = base::min(hole.end, c.snd.nxt);
    const Range r = range_from(c, hole.begin, end, c.mss);
    if (r.bytes == 0 && !r.fin) break;
    if (!send_range(t, c, hole.begin, r.bytes, r.fin, now)) return false;
    const std::uint32_t n = r.bytes + (r.fin ? 1 : 0);
    c.high_rxt = hole.begin + n;
    in_flight += n;
    note_retransmission(t, c);
    ensure_retransmit_timer(t, index, now);
  }
  return true;
}

/// RFC 9293, 3.8.6.2.1 (silly window) and 3.7.4 (Nagle): may `n` of `unsent` octets leave?
bool worth_sending(const Connection& c, std::uint32_t n, std::uint32_t unsent, bool fin) {
  if (n >= c.mss) return true;
  if ((c.flags & kPushAll) != 0) return true;
  if (n == unsent) {
    if (fin) return true;
    if ((c.flags & (kCork | kSendMore)) != 0) return false;
    if ((c.flags & kNoDelay) != 0 || c.snd.nxt == c.snd.una) return true;
  }
  return n >= c.max_wnd / 2 && n != 0 && n < unsent;
}

struct Allowance {
  std::uint32_t bytes;
  bool by_window;  ///< it is the peer's window that limits
};
Allowance allowance(const Context& t, const Connection& c) {
  const std::int32_t window = c.snd.una + c.snd.wnd - c.snd.nxt;
  const auto by_peer = static_cast<std::uint32_t>(std::max(window, 0));
  const std::uint32_t in_flight = pipe(t, c);
  const std::uint32_t by_network =
      c.congestion.cwnd > in_flight ? c.congestion.cwnd - in_flight : 0;
  return {std::min(by_peer, by_network), by_peer <= by_network};
}

void note_new_data(const Context& t, std::uint32_t index, std::uint32_t n, base::Instant now) {
  Connection& c = t.conn(index);
  if (c.snd.nxt == c.snd.una) c.first_unacked = now;
  c.snd.nxt += n;
  if ((c.flags & kRttTimed) == 0) {
    c.flags |= kRttTimed;
    c.rtt_seq = c.snd.nxt;
    c.rtt_start = now;
  }
  ensure_retransmit_timer(t, index, now);
}

/// FIN alone, when all data is out already.
bool send_fin(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  if ((c.flags & kFinDue) == 0 || unsent_bytes(c) != 0) return true;
  if (!send_range(t, c, c.snd.nxt, 0, true, now)) return false;
  c.flags = (c.flags | kFinSent) & ~kFinDue;
  note_new_data(t, index, 1, now);
  return true;
}

/// New data as far as windows allow. False: the port has no room.
bool send_new(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  const std::uint32_t largest = max_payload(t, c);
  for (;;) {
    const std::uint32_t unsent = unsent_bytes(c);
    if (unsent == 0) break;
    const Allowance room = allowance(t, c);
    std::uint32_t n = std::min({unsent, room.bytes, largest});
    if (n > c.mss && n < unsent) n -= n % c.mss;
    const bool fin = n == unsent && (c.flags & kFinDue) != 0;
    if (n == 0 || !worth_sending(c, n, unsent, fin)) break;
    // What congestion control holds back waits for an ACK, not for half of a segment's room.
    if (n < c.mss && n < unsent && !room.by_window) break;
    if (!send_range(t, c, c.snd.nxt, n, fin, now)) return false;
    if (fin) c.flags = (c.flags | kFinSent) & ~kFinDue;
    note_new_data(t, index, n + (fin ? 1 : 0), now);
    c.bytes_sent += n;
    t.count(Counter::kBytesOut, n);
  }
  if (unsent_bytes(c) == 0) c.flags &= ~kPushAll;
  return true;
}

}  // namespace

bool retransmit_first(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  const Range r = range_from(c, c.snd.una, c.snd.nxt, c.mss);
  if (r.bytes == 0 && !r.fin) return true;
  if (!send_range(t, c, c.snd.una, r.bytes, r.fin, now)) return false;
  c.high_rxt = base::max(c.high_rxt, c.snd.una + r.bytes + (r.fin ? 1 : 0));
  note_retransmission(t, c);
  return true;
}

bool output_stream(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  if (!may_send_data(c.state)) return true;
  if (c.snd.nxt == c.snd.una && unsent_bytes(c) != 0) congestion_restart_idle(c, now);
  if (!send_lost(t, index, now) || !send_new(t, index, now) || !send_fin(t, index, now)) {
    return false;
  }
  // Data that nothing in flight will push out: the peer's window is closed, or it is corked.
  if (c.snd.nxt == c.snd.una && unsent_bytes(c) != 0 && c.timer != TimerKind::kPersist) {
    start_persist_timer(t, index, now);
  }
  return true;
}

}  // namespace ringway::tcp
