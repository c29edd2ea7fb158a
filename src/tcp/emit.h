#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "tcp/context.h"
#include "tcp/limits.h"
#include "wire/tcp.h"

namespace ringway::tcp {

/// A segment that is being written: headers are there, `payload` waits for its bytes.
struct Draft {
  port::TxBatch* batch = nullptr;
  port::TxBatch::Packet packet;
  std::byte* segment = nullptr;  ///< the TCP header
  std::byte* payload = nullptr;  ///< nullptr: no room in the port
  std::uint32_t payload_length = 0;
};

/// The clock of RFC 7323, 5.4: milliseconds, from a start of the connection's own.
inline std::uint32_t timestamp_now(const Connection& c, base::Instant now) {
  return static_cast<std::uint32_t>(now.ns / 1'000'000) + c.ts_offset;
}

/// Moves the right edge of our window if that is worth telling (RFC 9293, 3.8.6.2.2), and returns
/// the window field.
inline std::uint16_t open_window(Connection& c) {
  std::uint32_t free = c.rcv_buffer - std::min(c.rcv_buffer, c.rx.bytes);
  free = std::min(free, 65535U << c.rcv_scale);
  const base::SeqNum edge = c.rcv.nxt + free;
  if (edge - c.rcv.adv >= static_cast<std::int32_t>(c.window_step)) c.rcv.adv = edge;
  const auto window = static_cast<std::uint32_t>(c.rcv.adv - c.rcv.nxt);
  return static_cast<std::uint16_t>(std::min(window >> c.rcv_scale, 65535U));
}
/// True if open_window() would move the edge.
inline bool window_grew(const Connection& c) {
  std::uint32_t free = c.rcv_buffer - std::min(c.rcv_buffer, c.rx.bytes);
  free = std::min(free, 65535U << c.rcv_scale);
  return c.rcv.nxt + free - c.rcv.adv >= static_cast<std::int32_t>(c.window_step);
}

/// An ACK leaves with this segment: nothing more is owed.
inline void note_acknowledged(Connection& c) {
  c.acked_to = c.rcv.nxt.value;
  c.full_segments = 0;
  c.delayed_ack_at = base::Instant::never();
  c.flags &= ~(kAckDue | kWindowDue);
}

/// Reserves a frame and writes all headers of a segment of a synchronized connection: ACK is set,
/// the window is ours, timestamps as agreed; `extra` (may be nullptr) replaces the options.
[[gnu::always_inline]] inline Draft write_segment(port::Path& path, port::TxBatch* batch,
                                                  Connection& c, base::SeqNum seq,
                                                  std::uint8_t flags, std::uint32_t payload_length,
                                                  base::Instant now,
                                                  const wire::TcpOptions* extra) {
  Draft d;
  d.batch = batch;
  if (batch == nullptr) [[unlikely]]
    return d;
  const bool stamped = extra == nullptr && (c.flags & kTimestamps) != 0;
  const auto options = static_cast<std::uint32_t>(
      extra != nullptr ? extra->size() : (stamped ? wire::TcpOptions::kTimestampsSize : 0));
  const std::uint32_t header = wire::TcpHeader::kSize + options;
  d.packet = d.batch->reserve(path.header_length + header + payload_length);
  if (d.packet.data == nullptr) return d;
  std::byte* p = path.write_header(d.packet.data, static_cast<std::uint8_t>(wire::Protocol::kTcp),
                                   header + payload_length);
  d.segment = p;
  const std::uint16_t window = open_window(c);
  base::store_be16(p, c.local_port);
  base::store_be16(p + 2, c.remote_port);
  base::store_be32(p + 4, seq.value);
  base::store_be32(p + 8, c.rcv.nxt.value);
  base::store_be16(p + 12, static_cast<std::uint16_t>(header << 10 | flags | wire::TcpFlags::kAck));
  base::store_be16(p + 14, window);
  base::store_be32(p + 16, 0);
  if (stamped) {
    base::store_be32(p + 20, wire::TcpOptions::kTimestampsWord);
    base::store_be32(p + 24, timestamp_now(c, now));
    base::store_be32(p + 28, c.ts_recent);
  } else if (extra != nullptr) {
    extra->emit(p + 20);
  }
  d.payload = p + header;
  d.payload_length = payload_length;
  note_acknowledged(c);
  return d;
}

inline Draft begin_segment(const Context& t, Connection& c, base::SeqNum seq, std::uint8_t flags,
                           std::uint32_t payload_length, base::Instant now,
                           const wire::TcpOptions* extra = nullptr) {
  port::Path& path = t.path(c);
  return write_segment(path, t.paths.batch(path), c, seq, flags, payload_length, now, extra);
}

/// Fills in the checksum of a segment as far as the path wants it; returns the frame's flags for
/// it. A device goes on from the sum of the pseudo header (virtio 1.2, 5.1.6.2); on a reliable link
/// nobody looks.
inline std::uint8_t seal_checksum(const port::Path& path, std::span<std::byte> segment) {
  if ((path.flags & port::kPathReliable) != 0) return mem::kFrameCsumNeeded;
  if ((path.flags & port::kPathTxChecksum) == 0) {
    wire::finish_tcp(segment, path.local, path.remote);
    return 0;
  }
  const wire::Checksum sum =
      wire::pseudo_header(path.local, path.remote, static_cast<std::uint8_t>(wire::Protocol::kTcp),
                          static_cast<std::uint32_t>(segment.size()));
  base::store_be16(segment.data() + wire::TcpHeader::kChecksumOffset, sum.fold());
  return mem::kFrameCsumNeeded;
}

/// Commits a draft whose payload is in place.
[[gnu::always_inline]] inline void commit_segment(const Context& t, const port::Path& path,
                                                  const Connection& c, const Draft& d) {
  mem::FrameDesc desc;
  desc.l4_offset = path.header_length;
  desc.flow_hash = c.flow_hash;
  const auto length = static_cast<std::uint32_t>(d.payload - d.segment) + d.payload_length;
  desc.flags = seal_checksum(path, {d.segment, length});
  if (d.payload_length > c.mss) {
    desc.gso_size = c.mss;
    desc.flags |= path.is_v6 != 0 ? mem::kFrameGsoTcp6 : mem::kFrameGsoTcp4;
  }
  d.batch->commit(d.packet, path.header_length + length, desc);
  t.count(Counter::kSegmentsOut);
}

inline void finish_segment(const Context& t, const Connection& c, const Draft& d) {
  commit_segment(t, t.path(c), c, d);
}

/// Any header without payload along a path: SYN, RST, answers for nobody. False: no room.
bool emit_header(const Context& t, std::uint32_t path, wire::TcpHeader& header,
                 std::uint32_t flow_hash);

}  // namespace ringway::tcp
