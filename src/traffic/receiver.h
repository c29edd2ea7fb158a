#pragma once

#include <cstdint>
#include <map>
#include <span>

#include "base/time.h"
#include "mem/frame_pool.h"
#include "port/port.h"
#include "traffic/histogram.h"
#include "traffic/sequence.h"
#include "traffic/stamp.h"

namespace ringway::traffic {

struct ReceiverCounts {
  std::uint64_t frames = 0;  ///< all
  std::uint64_t bytes = 0;
  std::uint64_t stamped = 0;  ///< of a generator
  std::uint64_t damaged = 0;  ///< stamped, with a wrong UDP checksum: not looked at further
};

/// Takes all that arrives at a port, and judges what a Generator sent. One thread.
class Receiver {
 public:
  static constexpr std::uint32_t kBurst = 64;
  /// Streams that are followed; the frames of further ones are only counted.
  static constexpr std::size_t kMostStreams = 64;

  Receiver(port::Port& port, mem::FramePool& pool) : port_(port), pool_(pool) {}

  /// Receives one burst; returns how many frames it was.
  std::size_t turn(base::Instant now);

  const ReceiverCounts& counts() const { return counts_; }
  const Histogram& latency() const { return latency_; }
  /// The sum over all streams.
  SequenceCounts sequence() const;
  std::size_t streams() const { return trackers_.size(); }

 private:
  void judge(std::span<const std::byte> frame, bool trusted, base::Instant now);

  port::Port& port_;
  mem::FramePool& pool_;
  ReceiverCounts counts_;
  Histogram latency_;
  std::map<std::uint16_t, SequenceTracker> trackers_;
  SequenceTracker* last_ = nullptr;  ///< mostly all frames are of one stream
  std::uint16_t last_stream_ = 0;
};

}  // namespace ringway::traffic
