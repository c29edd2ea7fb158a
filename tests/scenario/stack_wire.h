#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <queue>
#include <vector>

#include "driver/link/link_port.h"
#include "driver/pcap/capture_file.h"
#include "port/faults.h"
#include "port/test_pool.h"
#include "sim/world.h"

namespace ringway::scenario {

/// A wire between two stacks: each has a link to one end of it, as to a gateway. Long TCP frames
/// are cut into segments, then every frame meets the fate that the faults of its direction decide.
class StackWire final : public sim::Actor {
 public:
  /// `ends` are the wire's own ends of the two links.
  StackWire(std::array<driver::LinkEnd, 2> ends, const std::array<port::FaultOptions, 2>& faults);

  base::Instant next_event() const override;
  void act(base::Instant now) override;
  /// From now on all frames are written down.
  void capture(driver::CaptureFile* file) { capture_ = file; }

 private:
  struct Flight {
    base::Instant at;
    std::uint64_t order;
    std::vector<std::byte> bytes;
    bool operator<(const Flight& o) const {
      return at != o.at ? at > o.at : order > o.order;  // the earliest on top
    }
  };
  struct Side {
    explicit Side(const port::FaultOptions& options) : faults(options) {}
    std::unique_ptr<driver::LinkPort> port;
    port::FaultModel faults;               ///< of what this side sends
    std::priority_queue<Flight> arriving;  ///< at this side
  };

  void take(unsigned side, base::Instant now);
  void cut(unsigned side, const std::vector<std::byte>& frame, std::uint32_t segment,
           base::Instant now);
  void launch(unsigned side, std::vector<std::byte> frame, base::Instant now);
  void deliver(Side& side, base::Instant now);

  port::TestPool pool_{128, 40'000};
  std::array<Side, 2> sides_;
  std::uint64_t launched_ = 0;
  base::Instant last_{};
  driver::CaptureFile* capture_ = nullptr;
};

}  // namespace ringway::scenario
