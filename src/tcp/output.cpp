#include "tcp/output.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "tcp/emit.h"
#include "tcp/lifecycle.h"
#include "tcp/reassembly.h"
#include "tcp/tcp.h"
#include "tcp/timers.h"

namespace ringway::tcp {
namespace {

using wire::TcpFlags;

bool is_synchronized(State state) {
  return state != State::kClosed && state != State::kSynSent && state != State::kSynReceived;
}

/// RST for a connection of our own (RFC 9293, 3.10.5: <SEQ=SND.NXT><CTL=RST>; with ACK, as Linux).
bool output_reset(const Context& t, std::uint32_t index) {
  Connection& c = t.conn(index);
  wire::TcpHeader h;
  h.src_port = c.local_port;
  h.dst_port = c.remote_port;
  h.seq = c.snd.nxt;
  h.ack = c.rcv.nxt;
  h.flags = {TcpFlags::kRst | TcpFlags::kAck};
  if (!emit_header(t, c.path, h, c.flow_hash)) return false;
  t.count(Counter::kResetsOut);
  c.flags &= ~kResetDue;
  terminate(t, index, 0);
  return true;
}

/// SYN, or SYN-ACK (RFC 9293, 3.7.1 for the options).
bool output_syn(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  const bool answer = c.state == State::kSynReceived;
  const bool offer = !answer;
  wire::TcpHeader h;
  h.src_port = c.local_port;
  h.dst_port = c.remote_port;
  h.seq = c.iss;
  h.flags = {TcpFlags::kSyn};
  if (answer) {
    h.flags.bits |= TcpFlags::kAck;
    h.ack = c.rcv.nxt;
  }
  h.options.has_mss = true;
  h.options.mss = path_mss(t.path(c));
  const bool reliable = (c.flags & kReliable) != 0;
  h.options.has_window_scale = offer || (c.flags & kScaleOk) != 0;
  h.options.window_scale = c.rcv_scale;
  h.options.sack_permitted = (offer && !reliable) || (c.flags & kSackOk) != 0;
  h.options.has_timestamps = (offer && !reliable) || (c.flags & kTimestamps) != 0;
  h.options.timestamp_value = timestamp_now(c, now);
  h.options.timestamp_echo = answer ? c.ts_recent : 0;
  // The window of a SYN is never scaled (RFC 7323, 2.2).
  const std::uint32_t window = std::min(c.rcv_buffer, 65535U);
  h.window = static_cast<std::uint16_t>(window);
  c.rcv.adv = c.rcv.nxt + window;
  if (!emit_header(t, c.path, h, c.flow_hash)) return false;
  if (answer) c.acked_to = c.rcv.nxt.value;
  c.snd.nxt = c.iss + 1;
  c.flags &= ~(kSynDue | kAckDue | kWindowDue);
  if (answer && (c.flags & kReliable) != 0) {
    // Deviation from RFC 9293, 3.5: where sending is delivery, the third segment says nothing new.
    c.snd.una = c.snd.nxt;
    establish(t, index, now);
    return true;
  }
  if (c.timer != TimerKind::kRetransmit) {
    c.first_unacked = now;
    c.rtt_seq = c.snd.nxt;
    c.rtt_start = now;
    c.flags |= kRttTimed;
    start_retransmit_timer(t, index, now);
  }
  return true;
}

bool output_ack(const Context& t, Connection& c, base::Instant now) {
  if (c.ooo_head == 0 || (c.flags & kSackOk) == 0) {
    const Draft d = begin_segment(t, c, c.snd.nxt, 0, 0, now);
    if (d.payload == nullptr) return false;
    finish_segment(t, c, d);
    return true;
  }
  wire::TcpOptions options;
  if ((c.flags & kTimestamps) != 0) {
    options.has_timestamps = true;
    options.timestamp_value = timestamp_now(c, now);
    options.timestamp_echo = c.ts_recent;
  }
  fill_sack_blocks(t, c, options);
  const Draft d = begin_segment(t, c, c.snd.nxt, 0, 0, now, &options);
  if (d.payload == nullptr) return false;
  finish_segment(t, c, d);
  return true;
}

/// Tells a writer that waits, or leaves the connection blocked if it is the ring that is full.
bool serve_writer(const Context& t, std::uint32_t index) {
  Connection& c = t.conn(index);
  if ((c.flags & kWantWrite) == 0) return true;
  if (writable(t, index)) {
    c.flags &= ~kWantWrite;
    t.raise(index, c, EPOLLOUT);
    return true;
  }
  // A closed window opens by a segment of the peer; a full ring does it silently, and tells only
  // those whose reserve() failed.
  if ((c.flags & kReliable) == 0 || c.snd.wnd == 0 || c.tx.bytes != 0) return true;
  port::TxBatch* batch = t.paths.batch(t.path(c));
  if (batch == nullptr) return false;
  const auto packet = batch->reserve(1);
  if (packet.data == nullptr) return false;
  batch->cancel(packet);
  c.flags &= ~kWantWrite;
  t.raise(index, c, EPOLLOUT);
  return true;
}

void block(const Context& t, std::uint32_t index) {
  Connection& c = t.conn(index);
  if ((c.flags & (kInDirtyList | kInBlockedList)) != 0) return;
  c.flags |= kInBlockedList;
  c.dirty_next = 0;
  if (t.s->blocked.tail != 0) {
    t.conn(t.s->blocked.tail).dirty_next = index;
  } else {
    t.s->blocked.head = index;
  }
  t.s->blocked.tail = index;
}

/// True while nothing can be sent for `c`, which still has its path.
bool is_stuck(const Context& t, const Connection& c) {
  const port::Path& path = t.path(c);
  if ((path.flags & port::kPathDown) != 0) return false;  // output ends it
  if ((path.flags & port::kPathPending) != 0) return true;
  const port::TxBatch* batch = t.paths.batch(path);
  return batch == nullptr || batch->starved();
}

/// Gives everything that waits for room another chance, if its port has room by now.
void wake_blocked(const Context& t) {
  std::uint32_t index = t.s->blocked.head;
  t.s->blocked = {};
  while (index != 0) {
    Connection& c = t.conn(index);
    const std::uint32_t next = c.dirty_next;
    c.flags &= ~kInBlockedList;
    if ((c.flags & kInFlowTable) != 0 && is_stuck(t, c)) {
      block(t, index);
    } else {
      t.mark_dirty(index, c);
    }
    index = next;
  }
}

}  // namespace

bool emit_header(const Context& t, std::uint32_t path_index, wire::TcpHeader& header,
                 std::uint32_t hash) {
  port::Path& path = t.paths.path(path_index);
  port::TxBatch* batch = t.paths.batch(path);
  if (batch == nullptr || (path.flags & port::kPathPending) != 0) return false;
  const auto length = static_cast<std::uint32_t>(header.emitted_size());
  const auto packet = batch->reserve(path.header_length + length);
  if (packet.data == nullptr) return false;
  std::byte* p =
      path.write_header(packet.data, static_cast<std::uint8_t>(wire::Protocol::kTcp), length);
  header.emit(p);
  mem::FrameDesc desc;
  desc.l4_offset = path.header_length;
  desc.flow_hash = hash;
  desc.flags = seal_checksum(path, {p, length});
  batch->commit(packet, path.header_length + length, desc);
  t.count(Counter::kSegmentsOut);
  return true;
}

bool output_connection(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  if (c.state == State::kClosed) return true;
  const std::uint8_t path_flags = t.path(c).flags;
  if ((path_flags & port::kPathDown) != 0) {
    t.count(Counter::kDropPathDown);
    terminate(t, index, ECONNRESET);
    return true;
  }
  if ((path_flags & port::kPathPending) != 0) return false;
  if ((c.flags & kResetDue) != 0) return output_reset(t, index);
  if ((c.flags & kSynDue) != 0 && !output_syn(t, index, now)) return false;
  if (!is_synchronized(c.state)) return true;
  if (may_send_data(c.state)) {
    const bool reliable = (c.flags & kReliable) != 0;
    if (!(reliable ? output_reliable : output_stream)(t, index, now)) return false;
    if (c.state == State::kClosed) return true;
  }
  if ((c.flags & kProbeDue) != 0 && !send_probe(t, index, now)) return false;
  if ((c.flags & kWindowDue) != 0 && !window_grew(c)) c.flags &= ~kWindowDue;
  if ((c.flags & (kAckDue | kWindowDue)) != 0 && !output_ack(t, c, now)) return false;
  return serve_writer(t, index);
}

bool send_probe(const Context& t, std::uint32_t index, base::Instant now) {
  Connection& c = t.conn(index);
  const Draft d = begin_segment(t, c, c.snd.una - 1, 0, 0, now);
  if (d.payload == nullptr) return false;
  finish_segment(t, c, d);
  c.flags &= ~kProbeDue;
  return true;
}

std::uint32_t max_payload(const Context& t, const Connection& c) {
  const port::Path& path = t.path(c);
  if ((path.flags & (port::kPathReliable | port::kPathGso)) == 0) return c.mss;
  const std::uint32_t headers = path.header_length + wire::TcpHeader::kMaxSize;
  const std::uint32_t room = path.max_frame > headers ? path.max_frame - headers : 0;
  if ((c.flags & kReliable) != 0)
    return std::max<std::uint32_t>(std::min(room, kMaxReliablePayload), kMinMss);
  return std::max<std::uint32_t>(std::min(room, kMaxGsoPayload) / c.mss * c.mss, c.mss);
}

bool writable(const Context& t, std::uint32_t index) {
  const Connection& c = t.conn(index);
  if (c.state != State::kEstablished && c.state != State::kCloseWait) return false;
  if ((c.flags & kReliable) == 0) {
    // A writer that was turned away comes back when a third is free (as Linux), not for one byte.
    if ((c.flags & kWantWrite) != 0) return c.tx.bytes <= c.snd_buffer / 3 * 2;
    return c.tx.bytes < c.snd_buffer;
  }
  if (c.tx.bytes != 0 && (c.flags & (kCork | kSendMore)) != 0) return c.tx.bytes < c.snd_buffer;
  if (c.snd.wnd == 0 || c.tx.bytes != 0) return false;
  const port::Path& path = t.path(c);
  port::TxBatch* batch = t.paths.batch(path);
  return (path.flags & (port::kPathPending | port::kPathDown)) == 0 && batch != nullptr &&
         batch->has_room();
}

void Tcp::output(base::Instant now) {
  if (!t_.s->blocked.empty()) wake_blocked(t_);
  // What becomes due meanwhile waits for the next turn, so one turn always ends.
  const std::uint32_t last = t_.s->dirty.tail;
  while (!t_.s->dirty.empty()) {
    const std::uint32_t index = t_.s->dirty.head;
    Connection& c = t_.conn(index);
    t_.s->dirty.head = c.dirty_next;
    if (t_.s->dirty.head == 0) t_.s->dirty.tail = 0;
    c.flags &= ~kInDirtyList;
    if (c.state == State::kClosed) {
      free_if_unused(t_, index);
    } else if (!output_connection(t_, index, now)) {
      block(t_, index);
    }
    if (index == last) break;
  }
}

bool Tcp::take_event(Event& event) {
  TcpState& s = *t_.s;
  if (!s.listener_events.empty()) {
    const std::uint32_t index = s.listener_events.head;
    Listener& l = s.listeners[index];
    s.listener_events.head = l.event_next;
    if (s.listener_events.head == 0) s.listener_events.tail = 0;
    l.in_event_list = false;
    event = {index, l.socket, l.events, true};
    l.events = 0;
    if (!l.in_use) s.listeners.free(index);
    if (event.bits != 0 && event.socket != 0) return true;
    return take_event(event);
  }
  while (!s.events.empty()) {
    const std::uint32_t index = s.events.head;
    Connection& c = conn(index);
    s.events.head = c.event_next;
    if (s.events.head == 0) s.events.tail = 0;
    c.flags &= ~kInEventList;
    event = {index, c.socket, c.events, false};
    c.events = 0;
    if (c.state == State::kClosed) [[unlikely]]
      free_if_unused(t_, index);
    if (event.bits != 0 && event.socket != 0) return true;
  }
  return false;
}

}  // namespace ringway::tcp
