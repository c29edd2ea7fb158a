#include <cerrno>

#include "tcp/lifecycle.h"
#include "tcp/receive.h"
#include "tcp/timers.h"

namespace ringway::tcp {
namespace {

/// Our SYN is acknowledged: ESTABLISHED (RFC 9293, 3.10.7.3, fourth).
void complete(const Context& t, std::uint32_t index, const Incoming& in) {
  Connection& c = t.conn(index);
  c.snd.una = in.h.ack;
  c.snd.wnd = in.h.window;  // of a SYN: not scaled
  c.wl1 = in.h.seq;
  c.wl2 = in.h.ack;
  if ((c.flags & kRttTimed) != 0) measure_rtt(c, in.now - c.rtt_start);
  establish(t, index, in.now);
  c.flags &= ~(kRttTimed | kRetransmitted);
  if ((c.flags & kReliable) == 0) t.due(index, c, kAckDue);
}

/// First and second: ACK and RST (RFC 9293, 3.10.7.3).
Step check_answer(const Context& t, std::uint32_t index, const Incoming& in) {
  const Connection& c = t.conn(index);
  const wire::TcpHeader& h = in.h;
  if (h.flags.ack() && (h.ack <= c.iss || h.ack > c.snd.nxt)) {
    t.count(Counter::kDropBadAck);
    if (!h.flags.rst()) reset_for(t, c.path, h, in.length());
    return Step::kDrop;
  }
  if (h.flags.rst() && h.flags.ack()) {
    t.count(Counter::kResetsIn);
    terminate(t, index, ECONNREFUSED);
    return Step::kDrop;
  }
  // A RST without an acceptable ACK proves nothing (RFC 5961, 3.2).
  if (h.flags.rst() || !h.flags.syn()) {
    t.count(Counter::kDropBadFlags);
    return Step::kDrop;
  }
  return Step::kGoOn;
}

}  // namespace

void receive_syn_sent(const Context& t, std::uint32_t index, Incoming& in) {
  Connection& c = t.conn(index);
  const wire::TcpHeader& h = in.h;
  if (check_answer(t, index, in) != Step::kGoOn) return;
  // Fourth: the SYN bit.
  c.irs = h.seq;
  c.rcv.nxt = h.seq + 1;
  c.rcv.adv = c.rcv.nxt + std::min(c.rcv_buffer, 65535U);
  c.acked_to = c.rcv.nxt.value;
  c.ts_recent_at = in.now;
  negotiate(t, c, h);
  if (h.flags.ack()) {
    complete(t, index, in);
    in.payload.seq = c.rcv.nxt;
    receive_text(t, index, in);
    return;
  }
  // Simultaneous open. Text of the SYN is not kept: the peer sends it again.
  c.state = State::kSynReceived;
  c.snd.wnd = h.window;
  t.due(index, c, kSynDue);
  start_retransmit_timer(t, index, in.now);
}

}  // namespace ringway::tcp
