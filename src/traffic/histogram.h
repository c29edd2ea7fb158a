#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace ringway::traffic {

/// Durations in nanoseconds, counted in bins that are 1/16 of their value wide (so a quantile is
/// at most 6.25 % too high). Constant memory, a few instructions a value.
class Histogram {
 public:
  void add(std::int64_t ns) {
    const auto value = static_cast<std::uint64_t>(std::max<std::int64_t>(ns, 0));
    ++bins_[bin_of(value)];
    ++count_;
    sum_ += value;
    least_ = std::min(least_, value);
    most_ = std::max(most_, value);
  }
  std::uint64_t count() const { return count_; }
  std::uint64_t least() const { return count_ == 0 ? 0 : least_; }
  std::uint64_t most() const { return most_; }
  std::uint64_t mean() const { return count_ == 0 ? 0 : sum_ / count_; }
  /// The value that `per_mille` of a thousand do not exceed.
  std::uint64_t quantile(std::uint32_t per_mille) const {
    const std::uint64_t rank = (count_ * per_mille + 999) / 1000;
    std::uint64_t seen = 0;
    for (std::size_t bin = 0; bin < kBins; ++bin) {
      seen += bins_[bin];
      if (seen >= rank && seen != 0) return std::clamp(upper_end(bin), least_, most_);
    }
    return most_;
  }

 private:
  static constexpr unsigned kBits = 4;
  static constexpr std::size_t kBins = (64 - kBits + 1) << kBits;

  static std::size_t bin_of(std::uint64_t value) {
    if (value < (1U << kBits)) return value;
    const auto exponent = static_cast<unsigned>(std::bit_width(value)) - 1 - kBits;
    return (std::size_t{exponent} << kBits) + (value >> exponent);
  }
  static std::uint64_t upper_end(std::size_t bin) {
    if (bin < (2U << kBits)) return bin;
    const auto exponent = static_cast<unsigned>(bin >> kBits) - 1;
    const std::uint64_t first = (bin & ((1U << kBits) - 1)) + (1U << kBits);
    return ((first + 1) << exponent) - 1;
  }

  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;
  std::uint64_t least_ = UINT64_MAX;
  std::uint64_t most_ = 0;
  std::array<std::uint64_t, kBins> bins_{};
};

}  // namespace ringway::traffic
