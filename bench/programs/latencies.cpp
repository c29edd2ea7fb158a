#include "latencies.h"

#include <cstdio>

namespace plain {

double Latencies::middle(std::size_t index) {
  if (index < kSteps) return static_cast<double>(index);
  const std::size_t shift = (index >> kStepBits) - 1;
  const std::uint64_t low = (kSteps + (index & (kSteps - 1))) << shift;
  return static_cast<double>(low) + 0.5 * static_cast<double>((std::uint64_t{1} << shift) - 1);
}

double Latencies::quantile(double share) const {
  if (count_ == 0) return 0;
  const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(count_ - 1)) + 1;
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= wanted) return middle(i);
  }
  return static_cast<double>(max_);
}

std::string Latencies::json(double nanoseconds_per_tick) const {
  const double us = nanoseconds_per_tick / 1000;
  const double mean = count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_);
  char text[320];
  std::snprintf(text, sizeof text,
                "\"count\":%llu,\"p50_us\":%.3f,\"p90_us\":%.3f,\"p99_us\":%.3f,"
                "\"p99_9_us\":%.3f,\"mean_us\":%.3f,\"max_us\":%.3f",
                static_cast<unsigned long long>(count_), quantile(0.5) * us, quantile(0.9) * us,
                quantile(0.99) * us, quantile(0.999) * us, mean * us,
                static_cast<double>(max_) * us);
  return text;
}

}  // namespace plain
