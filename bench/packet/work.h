#pragma once

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

/// What both sides of a comparison do with their frames, and how they are told and tell; one text,
/// compiled into both.
namespace ringway::bench {

constexpr std::uint32_t kBatch = 32;

/// Writes all of a frame: its number and words made from it.
inline void write_frame(void* frame, std::uint32_t length, std::uint64_t number) {
  auto* to = static_cast<unsigned char*>(frame);
  for (std::uint32_t at = 0; at + 8 <= length; at += 8) {
    const std::uint64_t word = number + at;
    std::memcpy(to + at, &word, sizeof word);
  }
}

/// Reads all of a frame.
inline std::uint64_t read_frame(const void* frame, std::uint32_t length) {
  const auto* from = static_cast<const unsigned char*>(frame);
  std::uint64_t sum = 0;
  for (std::uint32_t at = 0; at + 8 <= length; at += 8) {
    std::uint64_t word;
    std::memcpy(&word, from + at, sizeof word);
    sum += word;
  }
  return sum;
}

/// What read_frame() gives for frame `number`.
inline std::uint64_t expected_sum(std::uint32_t length, std::uint64_t number) {
  const std::uint64_t words = length / 8;
  return number * words + 8 * (words * (words - 1) / 2);
}

inline double seconds_now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// Where it cannot be pinned (one core), it runs where it may.
inline void pin(int cpu) {
  if (cpu < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  static_cast<void>(::pthread_setaffinity_np(::pthread_self(), sizeof set, &set));
}

struct Arguments {
  const char* mode = "";
  double seconds = 1;
  std::uint32_t size = 64;
  int cpu = 0;        ///< of the receiver or consumer
  int other_cpu = 1;  ///< of the sender or producer
};

/// MODE [--seconds S] [--size N] [--cpu N] [--other-cpu N]
inline Arguments parse_arguments(int argc, char** argv) {
  Arguments arguments;
  if (argc > 1) arguments.mode = argv[1];
  for (int i = 2; i + 1 < argc; i += 2) {
    const double value = std::atof(argv[i + 1]);
    if (std::strcmp(argv[i], "--seconds") == 0) arguments.seconds = value;
    if (std::strcmp(argv[i], "--size") == 0) arguments.size = static_cast<std::uint32_t>(value);
    if (std::strcmp(argv[i], "--cpu") == 0) arguments.cpu = static_cast<int>(value);
    if (std::strcmp(argv[i], "--other-cpu") == 0) arguments.other_cpu = static_cast<int>(value);
  }
  return arguments;
}

/// The result's one line.
inline void print_rate(std::uint64_t count, double seconds) {
  std::printf("{\"mpps\": %.4f, \"frames\": %llu, \"seconds\": %.3f}\n",
              static_cast<double>(count) / seconds / 1e6, static_cast<unsigned long long>(count),
              seconds);
}

/// Counts frames from the first one on, for so many seconds. The clock is read once in 32 turns.
class Meter {
 public:
  explicit Meter(double seconds) : seconds_(seconds), give_up_(seconds_now() + 10) {}
  /// After a turn that received `n`. True: it is over.
  bool turn(std::uint32_t n) {
    count_ += n;
    if (++turns_ % 32 != 0) return false;
    const double now = seconds_now();
    if (start_ == 0) {
      if (count_ != 0) {
        start_ = now;
        count_ = 0;
      }
      return now > give_up_;
    }
    end_ = now;
    return now - start_ >= seconds_;
  }
  std::uint64_t count() const { return count_; }
  bool began() const { return start_ != 0; }
  double seconds() const { return end_ - start_; }

 private:
  double seconds_;
  double give_up_;
  double start_ = 0;
  double end_ = 0;
  std::uint64_t count_ = 0;
  std::uint64_t turns_ = 0;
};

}  // namespace ringway::bench
