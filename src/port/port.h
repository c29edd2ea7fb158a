#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "mem/frame_desc.h"
#include "mem/frame_pool.h"
#include "port/caps.h"

namespace ringway::port {

/// Why a port dropped a frame or refused a descriptor.
struct PortCounters {
  std::uint64_t rx_frames = 0;
  std::uint64_t rx_bytes = 0;
  std::uint64_t tx_frames = 0;
  std::uint64_t tx_bytes = 0;
  std::uint64_t rx_no_frame =
      0;  ///< the pool was empty: the frame stays with or is lost by the device
  std::uint64_t rx_missed = 0;    ///< lost by the device or kernel before the port could look
  std::uint64_t rx_too_long = 0;  ///< longer than a frame of the pool
  std::uint64_t rx_bad = 0;       ///< nonsense from the device or peer
  std::uint64_t tx_bad = 0;       ///< descriptor that the port cannot send: dropped
  std::uint64_t tx_error = 0;     ///< the device refused it
};

/// One queue of a port: where frames enter and leave. One thread at a time uses it (the stack's
/// lock).
///
/// Frames live in the FramePool that the port was opened with. Ownership moves: rx_burst hands
/// frames to the caller, who frees them into the pool; tx_burst takes frames over, and gives them
/// back to the pool itself once they are sent (at once, or in reclaim()).
class Port {
 public:
  virtual ~Port() = default;

  virtual std::string_view name() const = 0;
  virtual const Caps& caps() const = 0;

  /// Receives up to out.size() descriptors without blocking; the frames now belong to the caller.
  virtual std::size_t rx_burst(std::span<mem::FrameDesc> out) = 0;
  /// Sends a prefix of `packets` without blocking; returns how many were taken over. A packet of
  /// several descriptors (`more`) is taken whole or not at all. What the port cannot send is
  /// counted, freed and reported as taken.
  virtual std::size_t tx_burst(std::span<const mem::FrameDesc> packets) = 0;
  /// Frees frames whose transmission has finished. Returns how many.
  virtual std::size_t reclaim() { return 0; }
  /// An fd that polls readable when rx_burst would return something. The port keeps the fd.
  /// Errors: kUnavailable if the driver cannot wake anybody.
  virtual base::Result<int> arm() = 0;
  /// True if rx_burst would return something. Called between turns without the stack's lock, by
  /// any thread: looks at shared memory only. A driver that cannot know it so says false, and its
  /// arm() fd is asked instead.
  virtual bool ready() const { return false; }
  /// For drivers that model time (`loop`, replay): called once a turn. Real devices ignore it.
  virtual void advance(base::Instant) {}
  /// When advance() would have something to do.
  virtual base::Instant next_deadline() const { return base::Instant::never(); }

  const PortCounters& counters() const { return counters_; }

 protected:
  PortCounters counters_;
};

}  // namespace ringway::port
