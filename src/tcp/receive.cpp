#include "tcp/receive.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "tcp/emit.h"
#include "tcp/lifecycle.h"
#include "tcp/limits.h"
#include "tcp/output.h"
#include "tcp/timers.h"

namespace ringway::tcp {
namespace {

using base::SeqNum;
using wire::TcpFlags;

/// RFC 7323, 5.3, R1: an old duplicate by its timestamp.
Step check_timestamp(const Context& t, Connection& c, const Incoming& in) {
  // Deviation from RFC 7323, 3.2: a segment without the option is taken, as Linux does; some
  // middleboxes strip it.
  if ((c.flags & kTimestamps) == 0 || !in.h.options.has_timestamps) return Step::kGoOn;
  const auto age = static_cast<std::int32_t>(in.h.options.timestamp_value - c.ts_recent);
  if (age < 0 && !in.h.flags.rst() && in.now - c.ts_recent_at < kTimestampAge) {
    t.count(Counter::kDropPaws);
    return Step::kReply;
  }
  return Step::kGoOn;
}

/// RFC 7323, 4.3 (2): TS.Recent follows segments that cover the last ACK sent.
void update_timestamp(Connection& c, const Incoming& in) {
  if ((c.flags & kTimestamps) == 0 || !in.h.options.has_timestamps) return;
  const bool newer = static_cast<std::int32_t>(in.h.options.timestamp_value - c.ts_recent) >= 0 ||
                     in.now - c.ts_recent_at >= kTimestampAge;
  if (newer && in.h.seq <= SeqNum{c.acked_to}) {
    c.ts_recent = in.h.options.timestamp_value;
    c.ts_recent_at = in.now;
  }
}

/// Cuts off what lies outside of the window, so that the rest begins at RCV.NXT or later.
void trim_to_window(Connection& c, Incoming& in) {
  Payload& p = in.payload;
  const std::int32_t old = c.rcv.nxt - p.seq;
  if (old > 0) {
    if (in.h.flags.syn()) p.seq += 1;
    p.trim_front(static_cast<std::uint32_t>(c.rcv.nxt - p.seq));
  }
  const std::int32_t room = c.rcv.adv - p.seq;
  if (room < static_cast<std::int32_t>(p.length)) {
    p.length = static_cast<std::uint32_t>(std::max(room, 0));
    p.fin = false;
  }
}

/// RFC 9293, 3.10.7.4, first: the four cases of table 6.
Step check_sequence(const Context& t, std::uint32_t index, Incoming& in) {
  Connection& c = t.conn(index);
  const SeqNum seq = in.h.seq;
  const std::uint32_t length = in.length();
  const bool begins_inside = c.rcv.nxt <= seq && seq < c.rcv.adv;
  const SeqNum last = seq + length - 1;
  const bool ends_inside = c.rcv.nxt <= last && last < c.rcv.adv;
  const bool covers = length != 0 && seq <= c.rcv.nxt && last >= c.rcv.nxt;
  // A closed window takes no text, but ACK, RST and URG of the segment count.
  if (seq == c.rcv.nxt || begins_inside || (length != 0 && (ends_inside || covers))) {
    if (c.rcv.adv == c.rcv.nxt && in.payload.length != 0) t.due(index, c, kAckDue);
    trim_to_window(c, in);
    return Step::kGoOn;
  }
  t.count(length != 0 && last < c.rcv.nxt ? Counter::kDuplicates : Counter::kDropSequence);
  return in.h.flags.rst() ? Step::kDrop : Step::kReply;
}

/// RFC 9293, 3.10.7.4, second, with RFC 5961, 3.2.
Step check_reset(const Context& t, std::uint32_t index, const Incoming& in) {
  if (!in.h.flags.rst()) return Step::kGoOn;
  Connection& c = t.conn(index);
  if (in.h.seq != c.rcv.nxt) {
    challenge_ack(t, index, in.now);
    return Step::kDrop;
  }
  t.count(Counter::kResetsIn);
  switch (c.state) {
    case State::kSynReceived:
      terminate(t, index, ECONNREFUSED);  // a passive open goes back to LISTEN: nobody is told
      break;
    case State::kClosing:
    case State::kLastAck:
    case State::kTimeWait:
      terminate(t, index, 0);
      break;
    default:
      terminate(t, index, c.state == State::kCloseWait ? EPIPE : ECONNRESET);
  }
  return Step::kDrop;
}

/// RFC 9293, 3.10.7.4, fourth, with RFC 5961, 4.2.
Step check_syn(const Context& t, std::uint32_t index, const Incoming& in) {
  if (!in.h.flags.syn()) return Step::kGoOn;
  challenge_ack(t, index, in.now);
  return Step::kDrop;
}

/// RFC 9293, 3.10.7.4, fifth, SYN-RECEIVED.
Step check_ack_syn_received(const Context& t, std::uint32_t index, const Incoming& in) {
  Connection& c = t.conn(index);
  if (in.h.ack <= c.snd.una || in.h.ack > c.snd.nxt) {
    reset_for(t, c.path, in.h, in.length());
    t.count(Counter::kDropBadAck);
    return Step::kDrop;
  }
  c.snd.una = in.h.ack;
  c.snd.wnd = std::uint32_t{in.h.window} << c.snd_scale;
  c.wl1 = in.h.seq;
  c.wl2 = in.h.ack;
  if ((c.flags & kRttTimed) != 0) measure_rtt(c, in.now - c.rtt_start);
  const bool closing = c.state != State::kSynReceived;
  if (!closing) establish(t, index, in.now);
  c.flags &= ~(kRttTimed | kRetransmitted);
  return Step::kGoOn;
}

Step check_ack(const Context& t, std::uint32_t index, Incoming& in) {
  Connection& c = t.conn(index);
  if (!in.h.flags.ack()) {
    t.count(Counter::kDropBadFlags);
    return Step::kDrop;
  }
  if (c.state == State::kSynReceived) {
    const bool fin_wanted = (c.flags & kOrphan) != 0 && (c.flags & kPassive) == 0;
    const Step step = check_ack_syn_received(t, index, in);
    if (step != Step::kGoOn || !fin_wanted) return step;
    c.state = State::kFinWait1;  // closed by the user meanwhile
    c.predict = 0;
    t.due(index, c, kFinDue);
    return Step::kGoOn;
  }
  return receive_ack(t, index, in);
}

/// RFC 6191 and RFC 9293, 3.6.1: a SYN that cannot be an old duplicate ends TIME-WAIT.
bool gives_way(const Context& t, std::uint32_t index, const Incoming& in) {
  Connection& c = t.conn(index);
  if (c.state != State::kTimeWait || !in.h.flags.syn() || in.h.flags.ack() || in.h.flags.rst()) {
    return false;
  }
  const bool stamped = (c.flags & kTimestamps) != 0 && in.h.options.has_timestamps;
  const bool newer_stamp =
      stamped && static_cast<std::int32_t>(in.h.options.timestamp_value - c.ts_recent) > 0;
  if (!newer_stamp && in.h.seq <= c.rcv.nxt) return false;
  terminate(t, index, 0);
  return true;
}

}  // namespace

void challenge_ack(const Context& t, std::uint32_t index, base::Instant now) {
  TcpState& s = *t.s;
  if (now - s.challenge_second >= Duration::seconds(1)) {
    s.challenge_second = now;
    s.challenges = 0;
  }
  if (s.challenges >= kChallengesPerSecond) {
    t.count(Counter::kDropChallengeLimit);
    return;
  }
  ++s.challenges;
  t.count(Counter::kChallengeAcks);
  t.due(index, t.conn(index), kAckDue);
}

void negotiate(const Context& t, Connection& c, const wire::TcpHeader& h) {
  const wire::TcpOptions& o = h.options;
  const bool reliable = (c.flags & kReliable) != 0;
  if (o.has_window_scale) {
    c.flags |= kScaleOk;
    c.snd_scale = o.window_scale;
  } else {
    c.flags &= ~kScaleOk;
    c.snd_scale = c.rcv_scale = 0;
  }
  if (o.has_timestamps && !reliable) {
    c.flags |= kTimestamps;
    c.ts_recent = o.timestamp_value;
  }
  if (o.sack_permitted && !reliable) c.flags |= kSackOk;
  set_peer_mss(t, c, o.has_mss, o.mss);
}

bool receive_synchronized(const Context& t, std::uint32_t index, Incoming& in) {
  if (gives_way(t, index, in)) return true;
  Connection& c = t.conn(index);
  // A SYN that is repeated because our SYN-ACK was lost.
  if (c.state == State::kSynReceived && in.h.flags.bits == TcpFlags::kSyn && in.h.seq == c.irs) {
    t.due(index, c, kSynDue);
    return false;
  }
  // Simultaneous open: the peer's SYN-ACK repeats the SYN that brought us here.
  if (c.state == State::kSynReceived && in.h.flags.syn() && in.h.flags.ack() && in.h.seq == c.irs) {
    in.h.flags.bits &= static_cast<std::uint8_t>(~TcpFlags::kSyn);
    in.h.seq += 1;
    in.payload.seq = in.h.seq;
  }
  Step step = check_timestamp(t, c, in);
  if (step == Step::kGoOn) step = check_sequence(t, index, in);
  if (step == Step::kGoOn) step = check_reset(t, index, in);
  if (step == Step::kGoOn) step = check_syn(t, index, in);
  if (step == Step::kGoOn) {
    update_timestamp(c, in);
    c.last_received = in.now;
    step = check_ack(t, index, in);
  }
  if (step == Step::kReply) {
    // RFC 9293, 3.10.7.4: TIME-WAIT starts again when the peer's FIN comes again.
    if (c.state == State::kTimeWait && in.h.flags.fin()) enter_time_wait(t, index, in.now);
    t.due(index, c, kAckDue);
  }
  if (step != Step::kGoOn || c.state == State::kClosed) return false;
  receive_text(t, index, in);
  return false;
}

}  // namespace ringway::tcp
