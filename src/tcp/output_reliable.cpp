#include <algorithm>

#include "tcp/emit.h"
#include "tcp/lifecycle.h"
#include "tcp/output.h"
#include "tcp/timers.h"

namespace ringway::tcp {

bool send_fin_reliable(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  const Draft d = begin_segment(t, c, c.snd.nxt, wire::TcpFlags::kFin, 0, now);
  if (d.payload == nullptr) return false;
  finish_segment(t, c, d);
  c.snd.una = c.snd.nxt = c.snd.nxt + 1;
  c.flags = (c.flags | kFinSent) & ~kFinDue;
  fin_acknowledged(t, index, now);  // consuming is the delivery
  return true;
}

bool output_reliable(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  const std::uint32_t largest = max_payload(t, c);
  const bool hold = (c.flags & (kCork | kSendMore)) != 0 && (c.flags & (kPushAll | kFinDue)) == 0;
  while (c.tx.bytes != 0) {
    std::uint32_t n = std::min({c.tx.bytes, c.snd.wnd, largest});
    if (n == 0) return true;  // the peer's window update brings us back
    if (hold && n < c.mss) {
      if (c.timer == TimerKind::kNone) set_timer(t, index, TimerKind::kPersist, now + kCorkTime);
      return true;
    }
    const std::uint8_t push = n == c.tx.bytes ? wire::TcpFlags::kPsh : 0;
    const Draft d = begin_segment(t, c, c.snd.nxt, push, n, now);
    if (d.payload == nullptr) return false;
    c.tx.read(t.b, {d.payload, n});
    finish_segment(t, c, d);
    c.snd.una = c.snd.nxt = c.snd.nxt + n;
    c.snd.wnd -= n;
    c.bytes_sent += n;
    t.count(Counter::kBytesOut, n);
  }
  c.flags &= ~(kPushAll | kSendMore);
  if (c.timer == TimerKind::kPersist) restart_timer(t, index, now);
  return (c.flags & kFinDue) == 0 || send_fin_reliable(t, index, now);
}

}  // namespace ringway::tcp
