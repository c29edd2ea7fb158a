#include <sys/epoll.h>

#include <algorithm>

#include "tcp/emit.h"
#include "tcp/lifecycle.h"
#include "tcp/output.h"
#include "tcp/tcp.h"
#include "tcp/timers.h"

namespace ringway::tcp {

std::uint32_t Tcp::readiness(std::uint32_t connection) {
  Connection& c = conn(connection);
  std::uint32_t bits = 0;
  const bool closed = c.state == State::kClosed;
  const bool read_end = closed || (c.flags & (kFinReceived | kReadShut)) != 0;
  const bool write_end = closed || (c.state != State::kSynSent && c.state != State::kSynReceived &&
                                    c.state != State::kEstablished && c.state != State::kCloseWait);
  if (c.rx.bytes != 0 || read_end || c.error != 0) bits |= EPOLLIN;
  if (read_end) bits |= EPOLLRDHUP;
  if (closed || (read_end && write_end)) bits |= EPOLLHUP;
  if (c.error != 0) bits |= EPOLLERR;
  if (write_end || c.error != 0 || writable(t_, connection)) {
    bits |= EPOLLOUT;
  } else {
    c.flags |= kWantWrite;
    t_.mark_dirty(connection, c);
  }
  return bits;
}

int Tcp::error(std::uint32_t connection) {
  Connection& c = conn(connection);
  const int error = c.error;
  c.error = 0;
  return error;
}

void Tcp::set_options(std::uint32_t connection, const Options& options, base::Instant now) {
  Connection& c = conn(connection);
  const Options old = c.options;
  apply_options(c, options);
  if (c.state == State::kClosed || c.state == State::kTimeWait) return;
  if (options.keepalive != old.keepalive || options.keepalive_idle_s != old.keepalive_idle_s) {
    if (c.timer == TimerKind::kNone || c.timer == TimerKind::kKeepalive) {
      restart_timer(t_, connection, now);
    }
  }
  // Uncorking, or switching Nagle off, lets go what was held back (tcp(7)).
  const bool released = (old.cork && !options.cork) || (!old.no_delay && options.no_delay);
  if (released && c.tx.bytes != 0) t_.due(connection, c, kPushAll);
  if (window_grew(c)) t_.due(connection, c, kWindowDue);
}

void Tcp::set_socket(std::uint32_t connection, std::uint32_t socket) {
  conn(connection).socket = socket;
}

base::Endpoint Tcp::local(std::uint32_t connection) const {
  const Connection& c = conn(connection);
  return {c.local, c.local_port};
}

base::Endpoint Tcp::remote(std::uint32_t connection) const {
  const Connection& c = conn(connection);
  return {c.remote, c.remote_port};
}

Info Tcp::info(std::uint32_t connection) const {
  const Connection& c = conn(connection);
  Info i;
  i.state = c.state;
  i.local = local(connection);
  i.remote = remote(connection);
  i.rtt_us = c.srtt_us;
  i.rttvar_us = c.rttvar_us;
  i.rto_us = c.rto_us;
  i.cwnd_bytes = c.congestion.cwnd;
  i.ssthresh_bytes = c.congestion.ssthresh;
  i.mss = c.mss;
  i.send_queue_bytes = c.tx.bytes;
  i.receive_queue_bytes = c.rx.bytes;
  i.send_window_bytes = c.snd.wnd;
  i.receive_window_bytes = static_cast<std::uint32_t>(std::max(c.rcv.adv - c.rcv.nxt, 0));
  i.retransmits = c.retransmits;
  i.bytes_sent = c.bytes_sent;
  i.bytes_received = c.bytes_received;
  i.reliable = (c.flags & kReliable) != 0;
  i.timestamps = (c.flags & kTimestamps) != 0;
  i.sack = (c.flags & kSackOk) != 0;
  return i;
}

}  // namespace ringway::tcp
