#include <algorithm>
#include <cerrno>

#include "tcp/emit.h"
#include "tcp/iov.h"
#include "tcp/output.h"
#include "tcp/tcp.h"

namespace ringway::tcp {
namespace {

/// RFC 9293, 3.10.2: SEND in the states that do not take data.
Io refuse_send(Connection& c) {
  if (c.error != 0) {
    const Io io{0, c.error};
    c.error = 0;
    return io;
  }
  if (c.state == State::kSynSent || c.state == State::kSynReceived) return {0, EAGAIN};
  return {0, EPIPE};
}

bool takes_data(const Connection& c) {
  return c.state == State::kEstablished || c.state == State::kCloseWait;
}

/// Puts bytes into the private queue, as many as the buffer's limit allows.
std::uint32_t enqueue(const Context& t, Connection& c, IovCursor& from, std::size_t total) {
  const std::uint32_t room = c.snd_buffer - std::min(c.snd_buffer, c.tx.bytes);
  auto left = static_cast<std::uint32_t>(std::min<std::size_t>(total, room));
  std::uint32_t taken = 0;
  while (left != 0) {
    const auto piece = from.next(left);
    const std::uint32_t n = c.tx.append(t.b, piece);
    taken += n;
    left -= n;
    if (n < piece.size()) {
      t.count(Counter::kDropNoMemory);
      break;
    }
  }
  return taken;
}

/// The user wants to write more than there is room for.
void want_write(const Context& t, std::uint32_t index, Connection& c) {
  c.flags |= kWantWrite;
  t.mark_dirty(index, c);  // output() finds out whether the ring or the window is full
}

/// One piece that fits into one segment and into the window: the usual case, with all that is known
/// about it used (begin_segment() is the same for every case). False, with nothing done: the usual
/// way.
bool send_piece(const Context& t, Connection& c, const iovec& piece) {
  constexpr std::uint32_t kHeader = wire::TcpHeader::kSize;
  constexpr std::uint32_t kFlags = kHeader << 10 | wire::TcpFlags::kPsh | wire::TcpFlags::kAck;
  port::Path& path = t.path(c);
  port::TxBatch* batch = t.paths.batch(path);
  const auto n = static_cast<std::uint32_t>(piece.iov_len);
  const bool unusual = (piece.iov_len > c.mss) | (n > c.snd.wnd) | (batch == nullptr) |
                       ((path.flags & (port::kPathPending | port::kPathDown)) != 0);
  if (unusual) [[unlikely]]
    return false;
  const std::uint32_t length = path.header_length + kHeader + n;
  const port::TxBatch::Packet packet = batch->reserve(length);
  if (packet.data == nullptr) [[unlikely]]
    return false;
  std::byte* p =
      path.write_header(packet.data, static_cast<std::uint8_t>(wire::Protocol::kTcp), kHeader + n);
  base::store_be16(p, c.local_port);
  base::store_be16(p + 2, c.remote_port);
  base::store_be32(p + 4, c.snd.nxt.value);
  base::store_be32(p + 8, c.rcv.nxt.value);
  base::store_be16(p + 12, static_cast<std::uint16_t>(kFlags));
  base::store_be16(p + 14, open_window(c));
  base::store_be32(p + 16, 0);
  std::memcpy(p + kHeader, piece.iov_base, n);
  mem::FrameDesc desc;
  desc.l4_offset = path.header_length;
  desc.flow_hash = c.flow_hash;
  desc.flags = mem::kFrameCsumNeeded;
  batch->commit(packet, length, desc);
  note_acknowledged(c);
  c.snd.una = c.snd.nxt = c.snd.nxt + n;
  c.snd.wnd -= n;
  c.bytes_sent += n;
  t.count(Counter::kSegmentsOut);
  t.count(Counter::kBytesOut, n);
  return true;
}

/// Straight from the user's memory into the peer's.
Io send_reliable(const Context& t, std::uint32_t index, Connection& c,
                 std::span<const iovec> pieces, std::size_t total, base::Instant now) {
  const std::uint32_t largest = max_payload(t, c);
  IovCursor from(pieces);
  Io io;
  while (io.bytes < total) {
    const std::size_t left = total - io.bytes;
    auto n = static_cast<std::uint32_t>(std::min<std::size_t>(left, std::min(c.snd.wnd, largest)));
    if (n == 0) break;
    const std::uint8_t push = n == left ? wire::TcpFlags::kPsh : 0;
    Draft d = begin_segment(t, c, c.snd.nxt, push, n, now);
    if (d.payload == nullptr && n > c.mss) {
      n = std::min<std::uint32_t>(c.mss, 1448);  // no large frame is free, but a small one may be
      d = begin_segment(t, c, c.snd.nxt, 0, n, now);
    }
    if (d.payload == nullptr) break;
    from.copy_to(d.payload, n);
    finish_segment(t, c, d);
    c.snd.una = c.snd.nxt = c.snd.nxt + n;
    c.snd.wnd -= n;
    io.bytes += n;
  }
  c.bytes_sent += io.bytes;
  t.count(Counter::kBytesOut, io.bytes);
  if (io.bytes < total) want_write(t, index, c);
  if (io.bytes == 0) io.error = EAGAIN;
  return io;
}

/// Through the private queue: unreliable paths, corked data, and what follows it.
Io send_queued(const Context& t, std::uint32_t index, Connection& c, std::span<const iovec> pieces,
               std::size_t total, base::Instant now) {
  IovCursor from(pieces);
  const std::uint32_t taken = enqueue(t, c, from, total);
  const bool reliable = (c.flags & kReliable) != 0;
  if (taken != 0 && (t.path(c).flags & (port::kPathPending | port::kPathDown)) == 0) {
    if (!(reliable ? output_reliable : output_stream)(t, index, now)) t.mark_dirty(index, c);
  } else {
    t.mark_dirty(index, c);
  }
  if (taken < total) want_write(t, index, c);
  return {taken, taken == 0 ? EAGAIN : 0};
}

}  // namespace

Io Tcp::send(std::uint32_t connection, std::span<const iovec> from, bool more, base::Instant now) {
  Connection& c = conn(connection);
  if (!takes_data(c)) [[unlikely]]
    return refuse_send(c);
  constexpr std::uint32_t kSlow = kCork | kSendMore;
  const bool direct =
      (c.flags & (kReliable | kTimestamps | kSlow)) == kReliable && c.tx.bytes == 0 && !more;
  if (direct && from.size() == 1 && from[0].iov_len != 0) [[likely]] {
    if (send_piece(t_, c, from[0])) return {static_cast<std::uint32_t>(from[0].iov_len), 0};
  }
  const std::size_t total = IovCursor::total(from);
  if (total == 0) return {};
  if (direct) {
    if ((t_.path(c).flags & (port::kPathPending | port::kPathDown)) == 0)
      return send_reliable(t_, connection, c, from, total, now);
  }
  if (more) {
    c.flags |= kSendMore;
  } else {
    c.flags &= ~kSendMore;
  }
  return send_queued(t_, connection, c, from, total, now);
}

std::uint32_t Tcp::unsent_bytes(std::uint32_t connection) const {
  return conn(connection).tx.bytes;
}

}  // namespace ringway::tcp
