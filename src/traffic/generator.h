#pragma once

#include <array>
#include <cstdint>

#include "base/time.h"
#include "mem/frame_pool.h"
#include "port/port.h"
#include "traffic/frame_maker.h"
#include "traffic/pacer.h"

namespace ringway::traffic {

struct GeneratorOptions {
  Rate rate{};
  std::uint32_t burst = 32;  ///< frames that are handed to the port at once, up to kMostBurst
  std::uint64_t count = 0;   ///< 0: no end
  std::uint16_t stream = 0;  ///< of the stamps
};

/// Sends the frames of a FrameMaker at a rate. One thread; the caller reads the clock and waits.
class Generator {
 public:
  static constexpr std::uint32_t kMostBurst = 256;

  Generator(port::Port& port, mem::FramePool& pool, FrameMaker maker,
            const GeneratorOptions& options)
      : port_(port),
        pool_(pool),
        maker_(std::move(maker)),
        options_(options),
        pacer_(options.rate) {}
  ~Generator();
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

  /// Makes what is due and offers it to the port; returns how many frames the port took.
  std::size_t turn(base::Instant now);
  bool done() const { return options_.count != 0 && made_ == options_.count && pending_ == 0; }
  /// When the next frame is due, if the port is not the limit.
  base::Instant next_due() const { return pacer_.next(); }

  std::uint64_t frames() const { return frames_; }
  std::uint64_t bytes() const { return bytes_; }
  /// Turns in which the port did not take all that it was offered.
  std::uint64_t full() const { return full_; }
  /// Frames are made and wait for the port.
  bool blocked() const { return pending_ != 0; }

 private:
  void make(base::Instant now);

  port::Port& port_;
  mem::FramePool& pool_;
  FrameMaker maker_;
  GeneratorOptions options_;
  Pacer pacer_;
  std::uint64_t made_ = 0;
  std::uint64_t frames_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t full_ = 0;
  std::uint32_t pending_ = 0;
  std::array<mem::FrameDesc, kMostBurst> batch_{};
};

}  // namespace ringway::traffic
