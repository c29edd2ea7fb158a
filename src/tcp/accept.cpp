#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "tcp/lifecycle.h"
#include "tcp/limits.h"
#include "tcp/receive.h"
#include "tcp/tcp.h"

namespace ringway::tcp {
namespace {

std::uint32_t bucket(std::uint16_t port) { return port % TcpState::kListenerHeads; }

/// Does `l` take connections to `address`? 0: no; more: the more exactly it says so.
int match(const Listener& l, const base::IpAddress& address) {
  if (l.local.address == address) return 3;
  if (!l.local.address.is_any()) return 0;
  if (l.local.address.is_v4()) return address.is_v4() ? 2 : 0;
  return address.is_v4() && l.v6_only ? 0 : 1;
}

std::uint32_t waiting(const Listener& l) { return l.ready + l.handshaking; }

bool queue_full(const Listener& l) {
  // Deviation from the letter of listen(2): handshakes that have begun are always let finish, as
  // on a reliable path nobody would repeat a dropped ACK.
  return l.ready > l.backlog || l.handshaking >= std::max(l.backlog, kMinHandshakes);
}

}  // namespace

Opened Tcp::listen(const base::Endpoint& local, std::uint32_t backlog, std::uint32_t socket,
                   const Options& options, bool v6_only, bool reuse_port) {
  TcpState& s = *t_.s;
  for (std::uint32_t i = s.listener_heads[bucket(local.port)]; i != 0; i = s.listeners[i].chain) {
    const Listener& other = s.listeners[i];
    if (other.local == local && !(reuse_port && other.reuse_port)) return {0, EADDRINUSE};
  }
  const std::uint32_t index = s.listeners.allocate();
  if (index == 0) return {0, ENOBUFS};
  Listener& l = s.listeners[index];
  l.local = local;
  l.v6_only = v6_only;
  l.reuse_port = reuse_port;
  l.in_use = true;
  l.backlog = backlog;
  l.socket = socket;
  l.options = options;
  l.generation = ++s.next_generation;
  l.chain = s.listener_heads[bucket(local.port)];
  s.listener_heads[bucket(local.port)] = index;
  return {index, 0};
}

void Tcp::set_backlog(std::uint32_t listener, std::uint32_t backlog) {
  t_.s->listeners[listener].backlog = backlog;
}

std::uint32_t Tcp::find_listener(const base::Endpoint& local) const {
  const TcpState& s = *t_.s;
  std::uint32_t best = 0;
  int best_match = 0;
  for (std::uint32_t i = s.listener_heads[bucket(local.port)]; i != 0; i = s.listeners[i].chain) {
    const Listener& l = s.listeners[i];
    const int m = l.local.port == local.port ? match(l, local.address) : 0;
    const bool shorter = m == best_match && best != 0 && waiting(l) < waiting(s.listeners[best]);
    if (m > best_match || shorter) {
      best = i;
      best_match = m;
    }
  }
  return best;
}

void Tcp::on_syn(std::uint32_t listener, const Segment& segment, std::uint32_t path_index,
                 base::Instant now) {
  const auto parsed = wire::TcpHeader::parse({segment.data, segment.length});
  if (!parsed) {
    t_.count(Counter::kDropBadHeader);
    return;
  }
  const wire::TcpHeader& h = *parsed;
  t_.count(Counter::kSegmentsIn);
  // RFC 9293, 3.10.7.2: RST is ignored, ACK is answered by a reset, only SYN opens.
  if (h.flags.rst()) return;
  if (h.flags.ack() || !h.flags.syn() || h.flags.fin()) {
    t_.count(h.flags.ack() ? Counter::kDropNoConnection : Counter::kDropBadFlags);
    if (h.flags.ack()) reset_for(t_, path_index, h, segment.length - h.header_length);
    return;
  }
  Listener& l = t_.s->listeners[listener];
  if (queue_full(l)) {
    t_.count(Counter::kDropBacklog);
    return;
  }
  const port::Path& path = t_.paths.path(path_index);
  const std::uint32_t index =
      allocate(t_, {path.local, h.dst_port}, {path.remote, h.src_port}, path_index, l.options, now);
  if (index == 0) {
    t_.count(Counter::kDropNoMemory);
    return;
  }
  Connection& c = conn(index);
  c.state = State::kSynReceived;
  c.flags |= kPassive | kUnaccepted;
  c.listener = listener;
  ++l.handshaking;
  c.irs = h.seq;
  c.rcv.nxt = h.seq + 1;
  c.rcv.adv = c.rcv.nxt + std::min(c.rcv_buffer, 65535U);
  c.acked_to = c.rcv.nxt.value;
  c.ts_recent_at = now;
  c.snd.nxt = c.iss + 1;
  c.snd.wnd = h.window;  // not scaled in a SYN
  negotiate(t_, c, h);
  t_.due(index, c, kSynDue);
}

std::uint32_t Tcp::accept(std::uint32_t listener) {
  Listener& l = t_.s->listeners[listener];
  const std::uint32_t index = l.queue_head;
  if (index == 0) return 0;
  Connection& c = conn(index);
  l.queue_head = c.queue_next;
  if (l.queue_head == 0) l.queue_tail = 0;
  --l.ready;
  c.queue_next = 0;
  c.listener = 0;
  c.flags &= ~kUnaccepted;
  return index;
}

std::uint32_t Tcp::listener_readiness(std::uint32_t listener) const {
  return t_.s->listeners[listener].queue_head != 0 ? static_cast<std::uint32_t>(EPOLLIN) : 0;
}

void Tcp::tell_listener(std::uint32_t listener) { t_.raise_listener(listener, EPOLLIN); }

std::uint32_t Tcp::handshaking(std::uint32_t listener) const {
  return t_.s->listeners[listener].handshaking;
}

void Tcp::close_listener(std::uint32_t listener, base::Instant now) {
  TcpState& s = *t_.s;
  Listener& l = s.listeners[listener];
  while (const std::uint32_t index = accept(listener)) abort(index, now);
  for (std::uint32_t i = 1; l.handshaking != 0 && i <= s.connections.high_water(); ++i) {
    Connection& c = conn(i);
    if (c.state == State::kSynReceived && c.listener == listener) {
      --l.handshaking;
      c.listener = 0;
      c.flags &= ~kUnaccepted;
      abort(i, now);
    }
  }
  std::uint32_t* link = &s.listener_heads[bucket(l.local.port)];
  while (*link != listener) link = &s.listeners[*link].chain;
  *link = l.chain;
  l.in_use = false;
  l.socket = 0;
  if (!l.in_event_list) s.listeners.free(listener);
}

}  // namespace ringway::tcp
