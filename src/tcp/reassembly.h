#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "tcp/context.h"
#include "tcp/segment.h"
#include "wire/tcp.h"

namespace ringway::tcp {

/// Payload of a received segment: where it lies and which sequence numbers it has.
struct Payload {
  base::SeqNum seq;
  const std::byte* data = nullptr;
  std::uint32_t length = 0;
  bool fin = false;  ///< FIN follows the last octet

  /// Drops the first `n` octets, at most all.
  void trim_front(std::uint32_t n) {
    n = n < length ? n : length;
    seq += n;
    data += n;
    length -= n;
  }
};

/// Queues a few octets that are next in order to an empty `rx`: the usual case of small messages.
/// False, with nothing done: deliver() does it.
inline bool deliver_small(const Context& t, Connection& c, const std::byte* data,
                          std::uint32_t length) {
  if (c.rx.tail != 0 || length > mem::Cell::kInlineBytes) return false;
  const std::uint32_t index = t.b.cells->allocate_raw();
  if (index == 0) return false;
  mem::Cell& cell = (*t.b.cells)[index];
  cell.next = 0;
  cell.frame = {};
  cell.offset = 0;
  cell.length = length;
  base::copy_small(cell.data.data(), data, length);
  c.rx = {index, index, length};
  c.rcv.nxt += length;
  c.bytes_received += length;
  t.count(Counter::kBytesIn, length);
  return true;
}

/// Queues octets that are next in order to `rx`: keeps the frame if that pays, else copies. Returns
/// how many were taken; fewer than offered only when memory has run out.
std::uint32_t deliver(const Context& t, Connection& c, const Payload& payload, Segment& segment);

/// Keeps a payload that begins after rcv.nxt. What is there already is not stored twice.
void reassembly_insert(const Context& t, Connection& c, Payload payload, Segment& segment);
/// Moves what is in order by now to `rx`. True if the FIN behind it is in order too.
bool reassembly_drain(const Context& t, Connection& c);
void reassembly_clear(const Context& t, Connection& c);
/// SACK blocks for an ACK, the one that changed last first (RFC 2018, 4).
void fill_sack_blocks(const Context& t, const Connection& c, wire::TcpOptions& options);

}  // namespace ringway::tcp
