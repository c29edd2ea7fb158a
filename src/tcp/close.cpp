#include <sys/epoll.h>

#include <cerrno>

#include "tcp/lifecycle.h"
#include "tcp/limits.h"
#include "tcp/tcp.h"
#include "tcp/timers.h"

namespace ringway::tcp {
namespace {

/// Our side sends FIN behind the data that is queued (RFC 9293, 3.10.4).
void begin_fin(const Context& t, std::uint32_t index) {
  Connection& c = t.conn(index);
  if (c.state == State::kEstablished) {
    c.state = State::kFinWait1;
  } else if (c.state == State::kCloseWait) {
    c.state = State::kLastAck;
  } else {
    return;
  }
  c.predict = 0;
  c.flags &= ~kWantWrite;
  t.due(index, c, kFinDue);
}

void leave(Connection& c) {
  c.flags |= kOrphan;
  c.flags &= ~kWantWrite;
  c.socket = 0;
  c.predict = 0;
}

}  // namespace

void Tcp::shutdown_write(std::uint32_t connection, base::Instant) {
  Connection& c = conn(connection);
  begin_fin(t_, connection);
  t_.raise(connection, c, EPOLLOUT);  // a writer learns of it (EPIPE)
}

void Tcp::shutdown_read(std::uint32_t connection) {
  Connection& c = conn(connection);
  c.flags |= kReadShut;
  c.predict = 0;
  t_.raise(connection, c, EPOLLIN | EPOLLRDHUP);
}

void Tcp::close(std::uint32_t connection, base::Instant now) {
  Connection& c = conn(connection);
  if (c.state == State::kClosed) {
    leave(c);
    free_if_unused(t_, connection);
    return;
  }
  const bool hard = c.options.linger && c.options.linger_s == 0;
  if (hard || c.rx.bytes != 0 || c.ooo_head != 0) {
    abort(connection, now);
    return;
  }
  leave(c);
  switch (c.state) {
    case State::kSynSent:
      terminate(t_, connection, 0);
      break;
    case State::kEstablished:
    case State::kCloseWait:
      begin_fin(t_, connection);
      break;
    case State::kFinWait2:
      set_timer(t_, connection, TimerKind::kClose, now + kFinWait2);
      break;
    default:
      break;  // SYN-RECEIVED: FIN once it is established; others: on their way already
  }
}

void Tcp::abort(std::uint32_t connection, base::Instant) {
  Connection& c = conn(connection);
  leave(c);
  c.rx.clear(t_.b);
  const bool silent = c.state == State::kClosed || c.state == State::kSynSent ||
                      c.state == State::kTimeWait || c.state == State::kLastAck;
  if (c.state == State::kClosed) {
    free_if_unused(t_, connection);
  } else if (silent && c.state != State::kLastAck) {
    terminate(t_, connection, 0);
  } else {
    c.timer = TimerKind::kNone;
    t_.due(connection, c, kResetDue);
  }
}

void Tcp::abort_all(base::Instant now) {
  TcpState& s = *t_.s;
  for (std::uint32_t i = 1; i <= s.listeners.high_water(); ++i) {
    if (s.listeners[i].in_use) close_listener(i, now);
  }
  for (std::uint32_t i = 1; i <= s.connections.high_water(); ++i) {
    if ((conn(i).flags & kInFlowTable) != 0 && conn(i).state != State::kClosed) abort(i, now);
  }
}

}  // namespace ringway::tcp
