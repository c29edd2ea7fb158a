#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "tcp/emit.h"
#include "tcp/lifecycle.h"
#include "tcp/limits.h"
#include "tcp/receive.h"
#include "tcp/timers.h"

namespace ringway::tcp {
namespace {

/// RFC 1122, 4.2.3.2 and RFC 5681, 4.2: at least every second full segment at once, the rest within
/// a delay; at once where the sender waits for it.
void acknowledge_text(const Context& t, std::uint32_t index, std::uint32_t length,
                      bool was_in_order, base::Instant now) {
  Connection& c = t.conn(index);
  if ((c.flags & kReliable) != 0) return;  // taking it off the ring was the acknowledgement
  c.rcv_mss = std::max(c.rcv_mss, static_cast<std::uint16_t>(std::min(length, 65535U)));
  const bool quick = (c.flags & kQuickAck) != 0;
  if (quick && ++c.full_segments >= kQuickAcks) c.flags &= ~kQuickAck;
  const bool two_segments =
      static_cast<std::uint32_t>(c.rcv.nxt - base::SeqNum{c.acked_to}) >= 2U * c.rcv_mss;
  if (quick || !was_in_order || c.ooo_head != 0 || two_segments) {
    t.due(index, c, kAckDue);
  } else {
    delay_ack(t, index, now + kDelayedAck);
  }
}

/// RFC 9293, 3.10.7.4, eighth: the peer's FIN, in order.
void receive_fin(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  if ((c.flags & kFinReceived) != 0) return;
  c.flags |= kFinReceived;
  c.rcv.nxt += 1;
  c.rcv.adv = base::max(c.rcv.adv, c.rcv.nxt);
  c.predict = 0;
  if ((c.flags & kReliable) == 0) t.due(index, c, kAckDue);
  if ((c.flags & kOrphan) == 0) t.raise(index, c, EPOLLIN | EPOLLRDHUP);
  switch (c.state) {
    case State::kEstablished:
    case State::kSynReceived:
      c.state = State::kCloseWait;
      break;
    case State::kFinWait1:
      c.state = State::kClosing;  // our FIN is not acknowledged yet, or check_ack had moved on
      break;
    case State::kFinWait2:
      // The user's last readiness: both directions are shut.
      if ((c.flags & kOrphan) == 0) t.raise(index, c, EPOLLHUP);
      enter_time_wait(t, index, now);
      break;
    default:
      break;
  }
}

bool takes_text(State state) {
  return state == State::kEstablished || state == State::kFinWait1 || state == State::kFinWait2;
}

/// The user is gone: nobody will ever read this (RFC 1122, 4.2.2.13).
bool refuse_text(const Context& t, std::uint32_t index, const Incoming& in) {
  Connection& c = t.conn(index);
  if ((c.flags & kOrphan) == 0 || in.payload.length == 0) return false;
  t.count(Counter::kDropAfterClose);
  t.due(index, c, kResetDue);
  return true;
}

}  // namespace

void receive_text(const Context& t, std::uint32_t index, Incoming& in) {
  Connection& c = t.conn(index);
  Payload& p = in.payload;
  if (!takes_text(c.state)) return;
  if (p.length == 0 && !p.fin) return;
  if (refuse_text(t, index, in)) return;
  if (p.seq > c.rcv.nxt) {
    reassembly_insert(t, c, p, *in.raw);
    update_prediction(c);
    t.due(index, c, kAckDue);  // RFC 5681, 4.2: at once, so that the sender sees the hole
    return;
  }
  const bool hole = c.ooo_head != 0;
  bool fin = p.fin;
  if (p.length != 0) {
    const std::uint32_t taken =
        (c.flags & kReadShut) != 0 ? (c.rcv.nxt += p.length, p.length) : deliver(t, c, p, *in.raw);
    if (taken < p.length) {
      fin = false;
      if ((c.flags & kReliable) != 0) {
        // What was taken off the ring cannot be asked for again.
        c.error = ENOBUFS;
        t.due(index, c, kResetDue);
        return;
      }
    }
    if (c.rx.bytes != 0) t.raise(index, c, EPOLLIN);
  }
  if (hole) {
    fin = reassembly_drain(t, c) || fin;
    update_prediction(c);
  }
  if (p.length != 0) acknowledge_text(t, index, p.length, !hole, in.now);
  if (fin) receive_fin(t, index, in.now);
}

}  // namespace ringway::tcp
