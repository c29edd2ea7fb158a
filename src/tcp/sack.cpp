#include "tcp/sack.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "tcp/limits.h"

namespace ringway::tcp {
namespace {

using base::SeqNum;

/// What lies in the cell: `count` ranges, in order, apart from each other.
struct Board {
  std::uint32_t count;
  static constexpr std::size_t kMax = (mem::Cell::kInlineBytes - 8) / sizeof(SackRange);
  std::array<SackRange, kMax> ranges;
};
static_assert(sizeof(Board) <= mem::Cell::kInlineBytes);

Board load(const Context& t, const Connection& c) {
  Board board;
  board.count = 0;
  if (c.sack_cell != 0) std::memcpy(&board, (*t.b.cells)[c.sack_cell].data.data(), sizeof board);
  return board;
}

void store(const Context& t, const Connection& c, const Board& board) {
  std::memcpy((*t.b.cells)[c.sack_cell].data.data(), &board, sizeof board);
}

bool take_cell(const Context& t, Connection& c) {
  if (c.sack_cell != 0) return true;
  const std::uint32_t index = t.b.cells->allocate_raw();
  if (index == 0) return false;
  mem::Cell& cell = (*t.b.cells)[index];
  cell.next = 0;
  cell.frame = {};
  cell.offset = cell.length = 0;
  cell.aux = 0;
  c.sack_cell = index;
  Board empty;
  empty.count = 0;
  store(t, c, empty);
  return true;
}

std::span<const SackRange> ranges(const Board& board) { return {board.ranges.data(), board.count}; }

std::uint32_t total(const Board& board) {
  std::uint32_t n = 0;
  for (const SackRange& r : ranges(board)) n += static_cast<std::uint32_t>(r.right - r.left);
  return n;
}

/// Unites `add` with what overlaps or touches it.
void merge(Board& board, SackRange add) {
  Board out;
  out.count = 0;
  bool placed = false;
  const auto put = [&](SackRange r) {
    if (out.count < Board::kMax) out.ranges[out.count++] = r;
  };
  for (const SackRange& r : ranges(board)) {
    if (r.right < add.left) {
      put(r);
    } else if (add.right < r.left) {
      if (!placed) put(add);
      placed = true;
      put(r);
    } else {
      add = {base::min(add.left, r.left), base::max(add.right, r.right)};
    }
  }
  if (!placed) put(add);
  board = out;
}

}  // namespace

std::uint32_t scoreboard_update(const Context& t, Connection& c, const wire::TcpOptions& options) {
  if (options.sack_count == 0 || !take_cell(t, c)) return 0;
  Board board = load(t, c);
  const std::uint32_t before = total(board);
  for (std::size_t i = 0; i < options.sack_count; ++i) {
    // Nonsense and D-SACK (RFC 2883: below snd.una) are left out.
    SackRange r{options.sack[i].left, options.sack[i].right};
    if (r.left >= r.right || r.left < c.snd.una || r.right > c.snd.nxt) continue;
    merge(board, r);
  }
  store(t, c, board);
  const std::uint32_t after = total(board);
  if (board.count == 0) scoreboard_clear(t, c);
  return after > before ? after - before : 0;
}

void scoreboard_advance(const Context& t, Connection& c) {
  if (c.sack_cell == 0) return;
  const Board board = load(t, c);
  Board out;
  out.count = 0;
  for (const SackRange& r : ranges(board)) {
    if (r.right > c.snd.una) out.ranges[out.count++] = {base::max(r.left, c.snd.una), r.right};
  }
  if (out.count == 0) {
    scoreboard_clear(t, c);
  } else {
    store(t, c, out);
  }
}

void scoreboard_clear(const Context& t, Connection& c) {
  if (c.sack_cell == 0) return;
  t.b.cells->free(c.sack_cell);
  c.sack_cell = 0;
}

std::uint32_t scoreboard_bytes(const Context& t, const Connection& c) {
  return c.sack_cell == 0 ? 0 : total(load(t, c));
}

bool scoreboard_reneged(const Context& t, const Connection& c) {
  if (c.sack_cell == 0) return false;
  const Board board = load(t, c);
  return board.count != 0 && board.ranges[0].left <= c.snd.una;
}

base::SeqNum scoreboard_lost_edge(const Context& t, const Connection& c) {
  if (c.sack_cell == 0) return c.snd.una;
  const Board board = load(t, c);
  const std::uint32_t threshold = (kDuplicateAcks - 1U) * c.mss;
  std::uint32_t above = 0;
  std::uint32_t count = 0;
  for (std::uint32_t i = board.count; i-- > 0;) {
    const SackRange& r = board.ranges[i];
    above += static_cast<std::uint32_t>(r.right - r.left);
    ++count;
    if (above > threshold || count >= kDuplicateAcks) return r.left;
  }
  return c.snd.una;
}

Hole next_hole(const Context& t, const Connection& c, base::SeqNum from) {
  if (c.sack_cell == 0) return {from, c.snd.nxt};
  const Board board = load(t, c);
  for (const SackRange& r : ranges(board)) {
    if (r.right <= from) continue;
    if (r.left > from) return {from, r.left};
    from = r.right;
  }
  return {from, c.snd.nxt};
}

std::uint32_t pipe(const Context& t, const Connection& c) {
  const auto outstanding = static_cast<std::uint32_t>(c.snd.nxt - c.snd.una);
  if (c.recovery == Recovery::kOpen && c.sack_cell == 0) {
    return outstanding - std::min(outstanding, c.fast_bytes);
  }
  const Board board = load(t, c);
  // Lost and not yet sent again: from high_rxt to lost_edge, less what is SACKed there.
  std::uint32_t gone = 0;
  if (c.recovery != Recovery::kOpen) {
    const SeqNum begin = base::max(c.high_rxt, c.snd.una);
    const SeqNum end = base::min(c.lost_edge, c.snd.nxt);
    if (begin < end) {
      gone = static_cast<std::uint32_t>(end - begin);
      for (const SackRange& r : ranges(board)) {
        const SeqNum left = base::max(r.left, begin);
        const SeqNum right = base::min(r.right, end);
        if (left < right) gone -= static_cast<std::uint32_t>(right - left);
      }
    }
  }
  const std::uint32_t away = gone + total(board) + c.fast_bytes;
  return outstanding - std::min(outstanding, away);
}

}  // namespace ringway::tcp
