#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace ringway::traffic {

/// What became of the numbers of one stream.
struct SequenceCounts {
  std::uint64_t received = 0;    ///< different numbers
  std::uint64_t lost = 0;        ///< not seen, and a later one was
  std::uint64_t duplicates = 0;  ///< seen before
  std::uint64_t reordered = 0;   ///< came after a later one
  std::uint64_t stale = 0;       ///< so late that nobody knows whether it was seen before
};

/// Follows the sequence numbers of one stream with a window of the last 65536. The first number
/// that arrives is where it begins: what was sent before the receiver ran is not lost.
class SequenceTracker {
 public:
  static constexpr std::uint64_t kWindow = 65536;

  void add(std::uint64_t sequence) {
    if (sequence == next_ && started_) [[likely]] {
      word(sequence) |= bit(sequence);
      ++next_;
      ++counts_.received;
      return;
    }
    add_out_of_order(sequence);
  }
  const SequenceCounts& counts() const { return counts_; }

 private:
  void add_out_of_order(std::uint64_t sequence);
  std::uint64_t& word(std::uint64_t sequence) { return seen_[sequence % kWindow / 64]; }
  static std::uint64_t bit(std::uint64_t sequence) { return std::uint64_t{1} << (sequence % 64); }

  bool started_ = false;
  std::uint64_t first_ = 0;
  std::uint64_t next_ = 0;  ///< one more than the highest
  SequenceCounts counts_;
  std::array<std::uint64_t, kWindow / 64> seen_{};
};

}  // namespace ringway::traffic
