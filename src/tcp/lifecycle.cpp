#include "tcp/lifecycle.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "tcp/congestion.h"
#include "tcp/isn.h"
#include "tcp/limits.h"
#include "tcp/reassembly.h"
#include "tcp/sack.h"
#include "tcp/timers.h"
#include "wire/tcp.h"

namespace ringway::tcp {
namespace {

void set_identity(Connection& c, const base::Endpoint& local, const base::Endpoint& remote) {
  c.local = local.address;
  c.remote = remote.address;
  c.local_port = local.port;
  c.remote_port = remote.port;
  c.local_tail = static_cast<std::uint32_t>(local.address.low() >> 32);
  c.remote_tail = static_cast<std::uint32_t>(remote.address.low() >> 32);
  c.is_v6 = local.address.is_v6() ? 1 : 0;
  c.flow_hash = flow_hash(local.address, local.port, remote.address, remote.port);
}

/// Bookkeeping of the listener when a connection goes that was not accepted.
void leave_listener(const Context& t, Connection& c, State was) {
  if (c.listener == 0 || was != State::kSynReceived) return;
  Listener& listener = t.s->listeners[c.listener];
  if (listener.handshaking != 0) --listener.handshaking;
  c.listener = 0;
  c.flags = (c.flags & ~kUnaccepted) | kOrphan;  // no user has heard of it
}

}  // namespace

std::uint16_t path_mss(const port::Path& path) {
  const std::uint32_t headers = (path.is_v6 != 0 ? 40U : 20U) + wire::TcpHeader::kSize;
  return path.mtu > headers + kMinMss ? static_cast<std::uint16_t>(path.mtu - headers) : kMinMss;
}

std::uint8_t window_scale_for(std::uint32_t buffer) {
  std::uint8_t scale = 0;
  while (scale < 14 && (65535U << scale) < buffer) ++scale;
  return scale;
}

void apply_options(Connection& c, const Options& options) {
  c.options = options;
  const auto limit = [](std::uint32_t bytes) {
    return std::clamp(bytes, Options::kMinBuffer, Options::kMaxBuffer);
  };
  c.snd_buffer = limit(options.send_buffer_bytes);
  c.rcv_buffer = limit(options.receive_buffer_bytes);
  c.flags &= ~(kNoDelay | kCork);
  if (options.no_delay) c.flags |= kNoDelay;
  if (options.cork) c.flags |= kCork;
  // RFC 9293, 3.8.6.2.2: the window opens by a segment or half of the buffer. A reliable path has
  // large frames and needs no self-clocking, so fewer and larger steps do.
  c.window_step = (c.flags & kReliable) != 0
                      ? c.rcv_buffer / 8
                      : std::min<std::uint32_t>(c.rcv_buffer / 2, std::max(c.rcv_mss, c.mss));
}

std::uint32_t allocate(const Context& t, const base::Endpoint& local, const base::Endpoint& remote,
                       std::uint32_t path_index, const Options& options, base::Instant now) {
  const std::uint32_t index = t.s->connections.allocate();
  if (index == 0) return 0;
  Connection& c = t.conn(index);
  port::Path& path = t.paths.path(path_index);
  set_identity(c, local, remote);
  c.path = path_index;
  ++path.users;
  c.generation = ++t.s->next_generation;
  if ((path.flags & port::kPathReliable) != 0) c.flags |= kReliable;
  c.mss = path_mss(path);
  c.rcv_mss = std::min(c.mss, kDefaultMss4);
  apply_options(c, options);
  c.armed_at = c.timer_at = c.delayed_ack_at = base::Instant::never();
  c.rto_us = static_cast<std::uint32_t>(kInitialRto.microseconds());
  c.last_received = c.last_sent = c.first_unacked = now;
  const std::uint64_t hash = endpoint_hash(t.s->secret, c);
  c.iss = initial_sequence(hash, now);
  c.ts_offset = static_cast<std::uint32_t>(hash >> 32);
  c.snd.una = c.snd.nxt = c.iss;
  c.rcv_scale = window_scale_for(std::max(c.rcv_buffer, Options::kDefaultBuffer));
  c.flags |= kInFlowTable;
  t.s->flows.insert(c.flow_hash, index);
  return index;
}

void set_peer_mss(const Context& t, Connection& c, bool has_option, std::uint16_t option) {
  const std::uint16_t assumed = c.is_v6 != 0 ? kDefaultMss6 : kDefaultMss4;
  std::uint16_t mss = std::min(has_option ? option : assumed, path_mss(t.path(c)));
  mss = std::max(mss, kMinMss);
  if ((c.flags & kTimestamps) != 0) {
    mss = static_cast<std::uint16_t>(mss - wire::TcpOptions::kTimestampsSize);
  }
  c.mss = mss;
}

void update_prediction(Connection& c) {
  const bool plain = c.state == State::kEstablished && c.ooo_head == 0 &&
                     c.recovery == Recovery::kOpen && (c.flags & (kOrphan | kReadShut)) == 0;
  const std::uint16_t offset = (c.flags & kTimestamps) != 0 ? 0x8000 : 0x5000;
  c.predict = plain ? static_cast<std::uint16_t>(offset | wire::TcpFlags::kAck) : 0;
}

void establish(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  c.state = State::kEstablished;
  c.last_received = c.last_sent = now;
  c.full_segments = 0;
  c.backoff = 0;
  c.flags = (c.flags | kQuickAck) & ~kSynDue;  // a SYN-ACK that was to be repeated is not needed
  c.max_wnd = std::max(c.max_wnd, c.snd.wnd);
  if ((c.flags & kReliable) == 0) congestion_init(c);
  apply_options(c, c.options);
  update_prediction(c);
  restart_timer(t, index, now);
  if (c.timer == TimerKind::kNone) t.s->wheel.disarm(t.s->connections, index);
  if (c.listener == 0) {
    t.raise(index, c, EPOLLOUT);
    return;
  }
  t.count(Counter::kAccepts);
  Listener& listener = t.s->listeners[c.listener];
  if (listener.handshaking != 0) --listener.handshaking;
  ++listener.ready;
  c.queue_next = 0;
  if (listener.queue_tail != 0) {
    t.conn(listener.queue_tail).queue_next = index;
  } else {
    listener.queue_head = index;
  }
  listener.queue_tail = index;
  t.raise_listener(c.listener, EPOLLIN);
}

void enter_time_wait(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  // Deviation from RFC 9293, 3.6: a reliable path cannot hold old duplicates of this connection,
  // and the peer's FIN needs no acknowledgement, so there is nothing to wait for.
  if ((c.flags & kReliable) != 0) {
    terminate(t, index, 0);
    return;
  }
  if (c.state != State::kTimeWait) ++t.s->time_wait;
  c.state = State::kTimeWait;
  c.predict = 0;
  c.delayed_ack_at = base::Instant::never();
  set_timer(t, index, TimerKind::kClose, now + kTimeWait);
}

void fin_acknowledged(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  switch (c.state) {
    case State::kFinWait1:
      c.state = State::kFinWait2;
      restart_timer(t, index, now);
      break;
    case State::kClosing:
      enter_time_wait(t, index, now);
      break;
    case State::kLastAck:
      terminate(t, index, 0);
      break;
    default:
      break;
  }
}

void terminate(const Context& t, std::uint32_t index, int error) {
  Connection& c = t.conn(index);
  const State was = c.state;
  if (was == State::kTimeWait) --t.s->time_wait;
  c.state = State::kClosed;
  c.predict = 0;
  if ((c.flags & kInFlowTable) != 0) {
    t.s->flows.remove(c.flow_hash, index);
    --t.path(c).users;
  }
  c.flags &= ~(kInFlowTable | kOutputDue | kWantWrite);
  t.s->wheel.disarm(t.s->connections, index);
  c.timer = TimerKind::kNone;
  c.delayed_ack_at = base::Instant::never();
  c.tx.clear(t.b);
  c.tx_cursor = 0;
  reassembly_clear(t, c);
  scoreboard_clear(t, c);
  leave_listener(t, c, was);
  if (error != 0) c.error = static_cast<std::uint16_t>(error);
  if ((c.flags & (kOrphan | kUnaccepted)) == 0) {
    t.raise(index, c, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP | (error != 0 ? EPOLLERR : 0U));
  }
  free_if_unused(t, index);
}

void free_if_unused(const Context& t, std::uint32_t index) {
  Connection& c = t.conn(index);
  constexpr std::uint32_t kLinked = kInDirtyList | kInBlockedList | kInEventList | kUnaccepted;
  if (c.state != State::kClosed || (c.flags & kInFlowTable) != 0) return;
  if ((c.flags & kOrphan) == 0) return;
  c.rx.clear(t.b);
  if ((c.flags & kLinked) != 0) return;
  t.s->connections.free(index);
}

void Context::raise_listener(std::uint32_t index, std::uint32_t bits) const {
  Listener& listener = s->listeners[index];
  listener.events |= bits;
  if (listener.in_event_list) return;
  listener.in_event_list = true;
  listener.event_next = 0;
  if (s->listener_events.tail != 0) {
    s->listeners[s->listener_events.tail].event_next = index;
  } else {
    s->listener_events.head = index;
  }
  s->listener_events.tail = index;
}

}  // namespace ringway::tcp
