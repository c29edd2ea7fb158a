#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/counters.h"
#include "base/random.h"
#include "base/time.h"
#include "port/spec.h"

namespace ringway::port {

/// What may happen to frames on their way; all zero is a perfect wire. Chances are in parts per
/// million.
struct FaultOptions {
  std::uint32_t loss_ppm = 0;
  std::uint32_t duplicate_ppm = 0;
  std::uint32_t reorder_ppm = 0;  ///< held back by `reorder_by`, so that later frames overtake it
  std::uint32_t corrupt_ppm = 0;  ///< one bit is turned over
  base::Duration delay{};
  base::Duration jitter{};  ///< up to this much more delay, order kept
  base::Duration reorder_by = base::Duration::milliseconds(1);
  std::int64_t rate_bits = 0;    ///< bits per second; 0: no limit
  std::int64_t queue_bytes = 0;  ///< waiting for the rate limit; more is dropped; 0: no limit
  std::uint64_t seed = 1;
};

/// The options of a fault model in a port spec; a driver's own table starts with a copy of these.
inline constexpr std::array kFaultOptions{
    SpecOption{"loss", OptionKind::kFraction, 0, 0, 1'000'000, "chance to lose a frame, 0 to 1"},
    SpecOption{"dup", OptionKind::kFraction, 0, 0, 1'000'000, "chance of a second copy, 0 to 1"},
    SpecOption{"reorder", OptionKind::kFraction, 0, 0, 1'000'000,
               "chance to hold a frame back, 0 to 1"},
    SpecOption{"corrupt", OptionKind::kFraction, 0, 0, 1'000'000,
               "chance to turn over one bit, 0 to 1"},
    SpecOption{"delay", OptionKind::kDuration, 0, 0, 60'000'000'000, "of every frame, up to 60s"},
    SpecOption{"jitter", OptionKind::kDuration, 0, 0, 60'000'000'000,
               "random further delay, up to 60s"},
    SpecOption{"reorder_by", OptionKind::kDuration, 1'000'000, 1, 60'000'000'000,
               "how long a frame is held back, 1ns to 60s"},
    SpecOption{"rate", OptionKind::kRate, 0, 0, 1'000'000'000'000,
               "limit, up to 1000gbit, 0: none"},
    SpecOption{"queue", OptionKind::kCount, 0, 0, 1 << 30,
               "bytes that may wait for the rate, up to 1g, 0: any"},
    SpecOption{"seed", OptionKind::kCount, 1, 0, INT64_MAX, "of all chances"},
};
FaultOptions fault_options(const SpecValues& values);

/// Why and how often a fault model did something.
enum class FaultCounter : std::uint8_t {
  kPassed,
  kLost,
  kQueueFull,
  kDuplicated,
  kReordered,
  kCorrupted,
  kCount
};

/// What is to happen to one frame.
struct Fate {
  std::uint32_t copies = 0;           ///< 0 to 2
  std::array<base::Instant, 2> at{};  ///< when each copy arrives
  std::int64_t corrupt_bit = -1;      ///< of the frame, -1: none; in every copy
};

/// Decides about frames, one direction of a wire. The same seed and the same frames give the same
/// fates.
class FaultModel {
 public:
  explicit FaultModel(const FaultOptions& options)
      : options_(options), random_(base::Random::seeded(options.seed)) {}

  /// `now` must not go back.
  Fate decide(base::Instant now, std::uint32_t length_bytes);
  const base::Counters<FaultCounter>& counters() const { return counters_; }

 private:
  bool queue(base::Instant now, std::uint32_t length_bytes);
  base::Instant arrival();

  FaultOptions options_;
  base::Random random_;
  base::Instant sent_{};  ///< when the last frame left the rate limiter
  base::Instant last_{};  ///< latest arrival that keeps the order
  base::Counters<FaultCounter> counters_;
};

/// Turns over bit `fate.corrupt_bit`, if any.
void corrupt(std::span<std::byte> frame, const Fate& fate);

}  // namespace ringway::port
