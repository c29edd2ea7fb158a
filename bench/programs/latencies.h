#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>

namespace plain {

/// Times in ticks, counted in buckets of at most 0.4 % width: no allocation and no growth while
/// measuring.
class Latencies {
 public:
  void add(std::uint64_t ticks) {
    ++buckets_[bucket(ticks)];
    ++count_;
    sum_ += ticks;
    if (ticks > max_) max_ = ticks;
  }

  std::uint64_t count() const { return count_; }

  /// The middle of the bucket that holds the given share (0 to 1) of all times; 0 if there are
  /// none.
  double quantile(double share) const;

  /// `"count":..,"p50_us":..,...` to be put into a JSON object.
  std::string json(double nanoseconds_per_tick) const;

 private:
  static constexpr unsigned kStepBits = 8;  // 256 steps per power of two
  static constexpr std::uint64_t kSteps = std::uint64_t{1} << kStepBits;
  static constexpr std::size_t kBuckets = (64 - kStepBits + 1) << kStepBits;

  static std::size_t bucket(std::uint64_t value) {
    if (value < kSteps) return static_cast<std::size_t>(value);
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - kStepBits - 1;
    return ((std::size_t{shift} + 1) << kStepBits) +
           static_cast<std::size_t>((value >> shift) - kSteps);
  }
  static double middle(std::size_t index);

  std::array<std::uint32_t, kBuckets> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace plain
