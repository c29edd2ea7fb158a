#include "tcp/sack.h"

#include <algorithm>
#include <array>
#include <span>

#include "tcp/limits.h"

namespace ringway::tcp {
namespace {

using base::SeqNum;

/// What lies in the frame: ranges in order, apart from each other.
struct Board {
  std::uint32_t count;
  std::uint32_t bytes;  ///< their sum
  std::array<SackRange, kMaxSackRanges> ranges;

  std::span<SackRange> all() { return {ranges.data(), count}; }
};

Board* board_of(const Context& t, const Connection& c) {
  if (c.sack_frame == 0) return nullptr;
  return reinterpret_cast<Board*>(t.b.frames->data(c.sack_frame));
}

std::uint32_t length(const SackRange& r) { return static_cast<std::uint32_t>(r.right - r.left); }

Board* make_board(const Context& t, Connection& c) {
  if (Board* board = board_of(t, c)) return board;
  if (t.b.frames->slot_size() < sizeof(Board)) return nullptr;
  const std::uint32_t slot = t.b.frames->allocate();
  if (slot == mem::FramePool::kNone) return nullptr;
  c.sack_frame = slot;  // slot 0 is never given out
  Board* board = board_of(t, c);
  board->count = board->bytes = 0;
  return board;
}

/// Unites `add` with what overlaps or touches it. Returns the octets that are new.
std::uint32_t merge(Board& board, SackRange add) {
  const std::uint32_t before = board.bytes;
  const auto ranges = board.all();
  const auto first =
      std::lower_bound(ranges.begin(), ranges.end(), add.left,
                       [](const SackRange& r, SeqNum left) { return r.right < left; });
  auto last = first;
  for (; last != ranges.end() && last->left <= add.right; ++last) {
    add = {base::min(add.left, last->left), base::max(add.right, last->right)};
    board.bytes -= length(*last);
  }
  if (first == last) {
    if (board.count == kMaxSackRanges) return 0;  // forgotten: it will be sent again
    std::move_backward(first, ranges.end(), ranges.end() + 1);
    ++board.count;
  } else {
    std::move(last, ranges.end(), first + 1);
    board.count -= static_cast<std::uint32_t>(last - first - 1);
  }
  *first = add;
  board.bytes += length(add);
  return board.bytes - before;
}

}  // namespace

std::uint32_t scoreboard_update(const Context& t, Connection& c, const wire::TcpOptions& options) {
  if (options.sack_count == 0) return 0;
  Board* board = make_board(t, c);
  if (board == nullptr) return 0;
  std::uint32_t news = 0;
  for (std::size_t i = 0; i < options.sack_count; ++i) {
    // Nonsense and D-SACK (RFC 2883: below snd.una) are left out.
    const SackRange r{options.sack[i].left, options.sack[i].right};
    if (r.left >= r.right || r.left < c.snd.una || r.right > c.snd.nxt) continue;
    news += merge(*board, r);
  }
  if (board->count == 0) scoreboard_clear(t, c);
  return news;
}

void scoreboard_advance(const Context& t, Connection& c) {
  Board* board = board_of(t, c);
  if (board == nullptr) return;
  const auto ranges = board->all();
  auto keep = ranges.begin();
  for (; keep != ranges.end() && keep->right <= c.snd.una; ++keep) board->bytes -= length(*keep);
  if (keep != ranges.end() && keep->left < c.snd.una) {
    board->bytes -= static_cast<std::uint32_t>(c.snd.una - keep->left);
    keep->left = c.snd.una;
  }
  std::move(keep, ranges.end(), ranges.begin());
  board->count -= static_cast<std::uint32_t>(keep - ranges.begin());
  if (board->count == 0) scoreboard_clear(t, c);
}

void scoreboard_clear(const Context& t, Connection& c) {
  if (c.sack_frame == 0) return;
  t.b.frames->free(c.sack_frame);
  c.sack_frame = 0;
}

std::uint32_t scoreboard_bytes(const Context& t, const Connection& c) {
  const Board* board = board_of(t, c);
  return board != nullptr ? board->bytes : 0;
}

bool scoreboard_reneged(const Context& t, const Connection& c) {
  const Board* board = board_of(t, c);
  return board != nullptr && board->ranges[0].left <= c.snd.una;
}

base::SeqNum scoreboard_lost_edge(const Context& t, const Connection& c) {
  const Board* board = board_of(t, c);
  if (board == nullptr) return c.snd.una;
  const std::uint32_t threshold = (kDuplicateAcks - 1U) * c.mss;
  std::uint32_t above = 0;
  std::uint32_t count = 0;
  for (std::uint32_t i = board->count; i-- > 0;) {
    above += length(board->ranges[i]);
    ++count;
    if (above > threshold || count >= kDuplicateAcks) return board->ranges[i].left;
  }
  return c.snd.una;
}

Hole next_hole(const Context& t, const Connection& c, base::SeqNum from) {
  Board* board = board_of(t, c);
  if (board == nullptr) return {from, c.snd.nxt};
  const auto ranges = board->all();
  auto r = std::lower_bound(ranges.begin(), ranges.end(), from,
                            [](const SackRange& a, SeqNum seq) { return a.right <= seq; });
  if (r != ranges.end() && r->left <= from) {
    from = r->right;
    ++r;  // the next one is apart from it
  }
  return {from, r != ranges.end() ? r->left : c.snd.nxt};
}

std::uint32_t pipe(const Context& t, const Connection& c) {
  const auto outstanding = static_cast<std::uint32_t>(c.snd.nxt - c.snd.una);
  Board* board = board_of(t, c);
  const std::uint32_t sacked = board != nullptr ? board->bytes : 0;
  // Lost and not yet sent again: from high_rxt to lost_edge, less what is SACKed there.
  std::uint32_t gone = 0;
  const SeqNum begin = base::max(c.high_rxt, c.snd.una);
  const SeqNum end = base::min(c.lost_edge, c.snd.nxt);
  if (c.recovery != Recovery::kOpen && begin < end) {
    gone = static_cast<std::uint32_t>(end - begin);
    const auto ranges = board != nullptr ? board->all() : std::span<SackRange>{};
    auto r = std::lower_bound(ranges.begin(), ranges.end(), begin,
                              [](const SackRange& a, SeqNum seq) { return a.right <= seq; });
    for (; r != ranges.end() && r->left < end; ++r) {
      gone -= static_cast<std::uint32_t>(base::min(r->right, end) - base::max(r->left, begin));
    }
  }
  const std::uint32_t away = gone + sacked + c.fast_bytes;
  return outstanding - std::min(outstanding, away);
}

}  // namespace ringway::tcp
