#include <sys/epoll.h>

#include <cerrno>
#include <optional>

#include "tcp/emit.h"
#include "tcp/receive.h"
#include "tcp/tcp.h"

namespace ringway::tcp {
namespace {

using base::SeqNum;
using wire::TcpFlags;

/// False: memory has run out. What was taken off the ring cannot be asked for again.
[[gnu::noinline]] bool deliver_large(const Context& t, std::uint32_t index, Connection& c,
                                     Segment& segment) {
  constexpr std::uint32_t kHeader = wire::TcpHeader::kSize;
  const std::uint32_t length = segment.length - kHeader;
  if (deliver(t, c, {c.rcv.nxt, segment.data + kHeader, length, false}, segment) == length) {
    return true;
  }
  c.error = ENOBUFS;
  t.due(index, c, kResetDue);
  return false;
}

/// Header prediction (Van Jacobson): a segment of an established stream, next in order, that has
/// nothing but text and ACK. Returns false, with nothing changed, if it is anything else.
bool fast_reliable(const Context& t, std::uint32_t index, Connection& c, Segment& segment) {
  const std::byte* p = segment.data;
  const SeqNum ack{base::load_be32(p + 8)};
  const auto length = static_cast<std::uint32_t>(segment.length - wire::TcpHeader::kSize);
  const std::uint32_t window = std::uint32_t{base::load_be16(p + 14)} << c.snd_scale;
  const std::int32_t behind = c.snd.nxt - ack;
  const std::int32_t room = static_cast<std::int32_t>(window) - behind;
  const bool unusual = (base::load_be32(p + 4) != c.rcv.nxt.value) |
                       (static_cast<std::int32_t>(length) > c.rcv.adv - c.rcv.nxt) | (behind < 0) |
                       ((c.flags & kWantWrite) != 0);
  if (unusual) [[unlikely]]
    return false;
  if (room > static_cast<std::int32_t>(c.snd.wnd)) {
    c.snd.wnd = static_cast<std::uint32_t>(room);
    if (c.snd.wnd > c.max_wnd) c.max_wnd = c.snd.wnd;
    if (c.tx.bytes != 0) t.mark_dirty(index, c);
  }
  t.count(Counter::kFastIn);
  if (length == 0) return true;
  if (!deliver_small(t, c, p + wire::TcpHeader::kSize, length) &&
      !deliver_large(t, index, c, segment)) {
    return true;
  }
  t.raise(index, c, EPOLLIN);
  return true;
}

/// True if bytes 12 and 13 are what the connection's prediction says, PSH aside.
bool predicted(const Connection& c, const std::byte* p) {
  return (base::load_be16(p + 12) & ~std::uint32_t{TcpFlags::kPsh}) == c.predict;
}

bool parse(const Context& t, Segment& segment, base::Instant now, Incoming& in) {
  const auto header = wire::TcpHeader::parse({segment.data, segment.length});
  if (!header) {
    t.count(Counter::kDropBadHeader);
    return false;
  }
  t.count(Counter::kSegmentsIn);
  in.h = *header;
  in.raw = &segment;
  in.now = now;
  in.payload = {in.h.seq, segment.data + in.h.header_length, segment.length - in.h.header_length,
                in.h.flags.fin()};
  return true;
}

}  // namespace

bool Tcp::input(std::uint32_t connection, Segment& segment, base::Instant now) {
  Connection& c = conn(connection);
  if (predicted(c, segment.data) && (c.flags & kReliable) != 0) [[likely]] {
    if (fast_reliable(t_, connection, c, segment)) return false;
  }
  Incoming in;
  if (!parse(t_, segment, now, in)) return false;
  if (c.state == State::kClosed || (c.flags & kResetDue) != 0) {
    t_.count(Counter::kDropAfterClose);
    return false;
  }
  if (c.state == State::kSynSent) {
    receive_syn_sent(t_, connection, in);
    return false;
  }
  return receive_synchronized(t_, connection, in);
}

void reset_for(const Context& t, std::uint32_t path, const wire::TcpHeader& h,
               std::uint32_t segment_length) {
  if (h.flags.rst()) return;
  wire::TcpHeader r;
  r.src_port = h.dst_port;
  r.dst_port = h.src_port;
  if (h.flags.ack()) {
    r.seq = h.ack;
    r.flags = {TcpFlags::kRst};
  } else {
    r.ack = h.seq + segment_length;
    r.flags = {TcpFlags::kRst | TcpFlags::kAck};
  }
  if (emit_header(t, path, r, 0)) t.count(Counter::kResetsOut);
}

void Tcp::reject(const Segment& segment, std::uint32_t path) {
  Segment copy = segment;
  Incoming in;
  if (!parse(t_, copy, {}, in)) return;
  t_.count(Counter::kDropNoConnection);
  reset_for(t_, path, in.h, in.length());
}

std::uint32_t Tcp::find(const base::Endpoint& local, const base::Endpoint& remote) const {
  const std::uint32_t hash = flow_hash(local.address, local.port, remote.address, remote.port);
  const auto local_tail = static_cast<std::uint32_t>(local.address.low() >> 32);
  const auto remote_tail = static_cast<std::uint32_t>(remote.address.low() >> 32);
  return t_.s->flows.find(hash, [&](std::uint32_t index) {
    const Connection& c = conn(index);
    const bool same = c.local_port == local.port && c.remote_port == remote.port &&
                      c.local_tail == local_tail && c.remote_tail == remote_tail;
    // The hash covers the whole addresses; for IPv6 they are compared as well.
    return same && (c.is_v6 == 0 ? local.address.is_v4()
                                 : c.local == local.address && c.remote == remote.address);
  });
}

std::uint32_t Tcp::look_up_plain(const std::byte* addresses, const std::byte* ports) {
  const base::Endpoint remote{base::IpAddress::from_v4_bytes(addresses), base::load_be16(ports)};
  const base::Endpoint local{base::IpAddress::from_v4_bytes(addresses + 4),
                             base::load_be16(ports + 2)};
  const std::uint32_t found = find(local, remote);
  if (found != 0) last_found_ = found;
  return found;
}

}  // namespace ringway::tcp
