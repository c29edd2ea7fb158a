#include "port/faults.h"

#include <algorithm>

namespace ringway::port {

FaultOptions fault_options(const SpecValues& values) {
  const auto ppm = [&](std::size_t i) { return static_cast<std::uint32_t>(values.number(i)); };
  const auto time = [&](std::size_t i) { return base::Duration::nanoseconds(values.number(i)); };
  FaultOptions options;
  options.loss_ppm = ppm(0);
  options.duplicate_ppm = ppm(1);
  options.reorder_ppm = ppm(2);
  options.corrupt_ppm = ppm(3);
  options.delay = time(4);
  options.jitter = time(5);
  options.reorder_by = time(6);
  options.rate_bits = values.number(7);
  options.queue_bytes = values.number(8);
  options.seed = static_cast<std::uint64_t>(values.number(9));
  return options;
}

bool FaultModel::queue(base::Instant now, std::uint32_t length_bytes) {
  sent_ = std::max(sent_, now);
  if (options_.rate_bits == 0) return true;
  const auto ns_for = [this](std::int64_t bytes) {
    const double ns = static_cast<double>(bytes) * 8e9 / static_cast<double>(options_.rate_bits);
    return base::Duration::nanoseconds(static_cast<std::int64_t>(ns));
  };
  if (options_.queue_bytes != 0 && sent_ - now > ns_for(options_.queue_bytes)) return false;
  sent_ = sent_ + ns_for(length_bytes);
  return true;
}

base::Instant FaultModel::arrival() {
  base::Instant at = sent_ + options_.delay;
  if (options_.jitter.ns > 0) {
    const auto range = static_cast<std::uint64_t>(options_.jitter.ns) + 1;
    at = at + base::Duration::nanoseconds(static_cast<std::int64_t>(random_.next() % range));
  }
  if (options_.reorder_ppm != 0 && random_.chance_ppm(options_.reorder_ppm)) {
    counters_.add(FaultCounter::kReordered);
    return at + options_.reorder_by;
  }
  last_ = std::max(last_, at);
  return last_;
}

Fate FaultModel::decide(base::Instant now, std::uint32_t length_bytes) {
  Fate fate;
  if (!queue(now, length_bytes)) {
    counters_.add(FaultCounter::kQueueFull);
    return fate;
  }
  if (options_.loss_ppm != 0 && random_.chance_ppm(options_.loss_ppm)) {
    counters_.add(FaultCounter::kLost);
    return fate;
  }
  if (options_.corrupt_ppm != 0 && length_bytes != 0 && random_.chance_ppm(options_.corrupt_ppm)) {
    fate.corrupt_bit = random_.below(length_bytes * 8);
    counters_.add(FaultCounter::kCorrupted);
  }
  fate.at[fate.copies++] = arrival();
  if (options_.duplicate_ppm != 0 && random_.chance_ppm(options_.duplicate_ppm)) {
    fate.at[fate.copies++] = arrival();
    counters_.add(FaultCounter::kDuplicated);
  }
  counters_.add(FaultCounter::kPassed);
  return fate;
}

void corrupt(std::span<std::byte> frame, const Fate& fate) {
  if (fate.corrupt_bit < 0) return;
  const auto bit = static_cast<std::size_t>(fate.corrupt_bit);
  frame[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
}

}  // namespace ringway::port
