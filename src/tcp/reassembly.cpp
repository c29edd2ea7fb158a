#include "tcp/reassembly.h"

#include <algorithm>

#include "tcp/limits.h"

namespace ringway::tcp {
namespace {

using base::SeqNum;

// Cell::aux of a queued piece: sequence number of its first octet, and FIN behind its last one.
constexpr std::uint64_t kFinBit = std::uint64_t{1} << 32;

SeqNum begin_of(const mem::Cell& cell) { return {static_cast<std::uint32_t>(cell.aux)}; }
SeqNum end_of(const mem::Cell& cell) { return begin_of(cell) + cell.length; }

bool worth_keeping(const Segment& segment, std::uint32_t length) {
  return segment.frame && !segment.must_copy && !segment.taken && length > kCopyBreak;
}

std::uint32_t offset_of(const Segment& segment, const std::byte* data) {
  return segment.offset + static_cast<std::uint32_t>(data - segment.data);
}

/// Makes cells for `payload` at the end of the chain `q`, which becomes a list of them.
bool make_cells(const Context& t, const Payload& payload, Segment& segment, mem::ByteQueue& q) {
  if (worth_keeping(segment, payload.length)) {
    if (!q.append_frame(t.b, segment.frame, offset_of(segment, payload.data), payload.length)) {
      return false;
    }
    segment.taken = true;
  } else if (q.append(t.b, {payload.data, payload.length}) != payload.length) {
    q.clear(t.b);
    return false;
  }
  SeqNum at = payload.seq;
  for (std::uint32_t i = q.head; i != 0; i = (*t.b.cells)[i].next) {
    mem::Cell& cell = (*t.b.cells)[i];
    cell.aux = at.value;
    at += cell.length;
    if (payload.fin && i == q.tail) cell.aux |= kFinBit;
  }
  return true;
}

/// Splices the cells of `q` behind `previous` (0: in front).
void splice(const Context& t, Connection& c, const mem::ByteQueue& q, std::uint32_t previous) {
  mem::Cell& last = (*t.b.cells)[q.tail];
  if (previous == 0) {
    last.next = c.ooo_head;
    c.ooo_head = q.head;
  } else {
    last.next = (*t.b.cells)[previous].next;
    (*t.b.cells)[previous].next = q.head;
  }
  if (last.next == 0) c.ooo_tail = q.tail;
  for (std::uint32_t i = q.head;; i = (*t.b.cells)[i].next) {
    ++c.ooo_cells;
    c.ooo_bytes += (*t.b.cells)[i].length;
    if (i == q.tail) break;
  }
}

/// Remembers where data arrived last, newest first, for the order of SACK blocks.
void note_recent(Connection& c, SeqNum seq) {
  for (std::size_t i = c.ooo_recent.size() - 1; i > 0; --i) c.ooo_recent[i] = c.ooo_recent[i - 1];
  c.ooo_recent[0] = seq;
}

/// The part of `payload` up to `limit` goes behind `previous`.
bool insert_part(const Context& t, Connection& c, Payload part, std::uint32_t length, bool fin,
                 Segment& segment, std::uint32_t previous) {
  if (length == 0) return true;
  part.length = length;
  part.fin = fin;
  mem::ByteQueue q;
  if (c.ooo_cells >= max_out_of_order_cells(c.rcv_buffer) || !make_cells(t, part, segment, q)) {
    t.count(Counter::kDropOutOfOrder);
    return false;
  }
  splice(t, c, q, previous);
  return true;
}

}  // namespace

std::uint32_t deliver(const Context& t, Connection& c, const Payload& payload, Segment& segment) {
  std::uint32_t taken = 0;
  const auto keep = [&](std::uint32_t from) {
    if (!c.rx.append_frame(t.b, segment.frame, offset_of(segment, payload.data + from),
                           payload.length - from)) {
      return false;
    }
    segment.taken = true;
    return true;
  };
  if (worth_keeping(segment, payload.length) && keep(0)) {
    taken = payload.length;
  } else {
    taken = c.rx.append(t.b, {payload.data, payload.length});
    // Memory for copies has run out; the frame itself is memory too.
    if (taken < payload.length && segment.frame && !segment.taken && keep(taken)) {
      taken = payload.length;
    }
  }
  if (taken < payload.length) t.count(Counter::kDropNoMemory);
  c.rcv.nxt += taken;
  c.bytes_received += taken;
  t.count(Counter::kBytesIn, taken);
  return taken;
}

void reassembly_insert(const Context& t, Connection& c, Payload payload, Segment& segment) {
  t.count(Counter::kOutOfOrder);
  note_recent(c, payload.seq);
  std::uint32_t previous = 0;
  std::uint32_t at = c.ooo_head;
  // The common case first: behind everything that is there.
  if (c.ooo_tail != 0 && end_of((*t.b.cells)[c.ooo_tail]) <= payload.seq) {
    previous = c.ooo_tail;
    at = 0;
  }
  while (payload.length != 0) {
    while (at != 0 && end_of((*t.b.cells)[at]) <= payload.seq) {
      previous = at;
      at = (*t.b.cells)[at].next;
    }
    if (at == 0) {
      insert_part(t, c, payload, payload.length, payload.fin, segment, previous);
      return;
    }
    const mem::Cell& cell = (*t.b.cells)[at];
    if (begin_of(cell) > payload.seq) {
      // What fills the gap in front of this piece.
      const auto gap = static_cast<std::uint32_t>(begin_of(cell) - payload.seq);
      const std::uint32_t n = std::min(gap, payload.length);
      const bool whole = n == payload.length;
      if (!insert_part(t, c, payload, n, whole && payload.fin, segment, previous)) return;
      if (whole) return;
      payload.trim_front(n);
    }
    payload.trim_front(static_cast<std::uint32_t>(
        std::max<std::int32_t>(end_of((*t.b.cells)[at]) - payload.seq, 0)));
  }
}

bool reassembly_drain(const Context& t, Connection& c) {
  bool fin = false;
  while (c.ooo_head != 0) {
    const std::uint32_t index = c.ooo_head;
    mem::Cell& cell = (*t.b.cells)[index];
    if (begin_of(cell) > c.rcv.nxt) break;
    c.ooo_head = cell.next;
    if (c.ooo_head == 0) c.ooo_tail = 0;
    --c.ooo_cells;
    c.ooo_bytes -= cell.length;
    const auto known = static_cast<std::uint32_t>(c.rcv.nxt - begin_of(cell));
    fin = (cell.aux & kFinBit) != 0 && known <= cell.length;
    if (known >= cell.length) {
      t.b.free_cell(index);
    } else {
      cell.offset += known;
      cell.length -= known;
      c.rcv.nxt += cell.length;
      c.bytes_received += cell.length;
      t.count(Counter::kBytesIn, cell.length);
      cell.aux = 0;
      c.rx.push_cell(t.b, index);
    }
    if (fin) break;
  }
  return fin;
}

void reassembly_clear(const Context& t, Connection& c) {
  while (c.ooo_head != 0) {
    const std::uint32_t index = c.ooo_head;
    c.ooo_head = (*t.b.cells)[index].next;
    t.b.free_cell(index);
  }
  c.ooo_tail = 0;
  c.ooo_bytes = c.ooo_cells = 0;
}

void fill_sack_blocks(const Context& t, const Connection& c, wire::TcpOptions& options) {
  struct Block {
    SeqNum left, right;
  };
  std::array<Block, 16> blocks;
  std::size_t count = 0;
  for (std::uint32_t i = c.ooo_head; i != 0; i = (*t.b.cells)[i].next) {
    const mem::Cell& cell = (*t.b.cells)[i];
    if (count != 0 && blocks[count - 1].right == begin_of(cell)) {
      blocks[count - 1].right = end_of(cell);
    } else {
      // The newest ones lie near the end as a rule: forget the oldest gap.
      if (count == blocks.size()) {
        std::move(blocks.begin() + 1, blocks.end(), blocks.begin());
        --count;
      }
      blocks[count++] = {begin_of(cell), end_of(cell)};
    }
  }
  const std::size_t limit = options.max_sack_blocks();
  const auto put = [&](std::size_t i) {
    if (blocks[i].left == blocks[i].right || options.sack_count == limit) return;
    options.sack[options.sack_count++] = {blocks[i].left, blocks[i].right};
    blocks[i].right = blocks[i].left;  // told
  };
  for (const SeqNum recent : c.ooo_recent) {
    for (std::size_t i = 0; i < count; ++i) {
      if (blocks[i].left <= recent && recent < blocks[i].right) put(i);
    }
  }
  for (std::size_t i = count; i-- > 0;) put(i);
}

}  // namespace ringway::tcp
