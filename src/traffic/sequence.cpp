#include "traffic/sequence.h"

#include <algorithm>

namespace ringway::traffic {

void SequenceTracker::add_out_of_order(std::uint64_t sequence) {
  if (!started_) {
    started_ = true;
    first_ = sequence;
    next_ = sequence;
  }
  if (sequence >= next_) {
    // Whole windows that were jumped over need no more than one clearing.
    const std::uint64_t gap = sequence - next_;
    for (std::uint64_t i = 0; i < std::min(gap, kWindow); ++i) {
      const std::uint64_t missing = sequence - 1 - i;
      word(missing) &= ~bit(missing);
    }
    counts_.lost += gap;
    ++counts_.received;
    word(sequence) |= bit(sequence);
    next_ = sequence + 1;
    return;
  }
  if (next_ - sequence > kWindow) {
    ++counts_.stale;
    return;
  }
  if ((word(sequence) & bit(sequence)) != 0 && sequence >= first_) {
    ++counts_.duplicates;
    return;
  }
  if (sequence >= first_) {
    --counts_.lost;
  } else {
    counts_.lost += first_ - sequence - 1;  // it began earlier than it seemed
    first_ = sequence;
  }
  word(sequence) |= bit(sequence);
  ++counts_.reordered;
  ++counts_.received;
}

}  // namespace ringway::traffic
