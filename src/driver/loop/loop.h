#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/result.h"
#include "mem/frame_pool.h"
#include "port/faults.h"
#include "port/port.h"
#include "port/spec.h"

namespace ringway::driver {

/// What a loop can be told.
inline constexpr std::array kLoopOptions = [] {
  using port::OptionKind;
  using port::SpecOption;
  std::array<SpecOption, port::kFaultOptions.size() + 3> table{};
  std::copy(port::kFaultOptions.begin(), port::kFaultOptions.end(), table.begin());
  table[table.size() - 3] = {
      "size", OptionKind::kCount, 1024, 1, 1 << 20, "frames that may wait, 1 to 1m"};
  table[table.size() - 2] = {
      "mtu", OptionKind::kCount, 1500, 576, 65521, "largest IP packet, 576 to 65521"};
  table[table.size() - 1] = {
      "offload", OptionKind::kFlag, 0, 0, 1, "checksums and segments are left to the wire"};
  return table;
}();

/// A wire between two ports of one process, for tests.
struct LoopOptions {
  port::FaultOptions faults;  ///< of each direction; the second direction has another seed
  std::uint32_t size = 1024;  ///< frames that may wait for the receiver
  std::uint16_t mtu = 1500;
  /// Frames keep what is known about their checksums and segments, as between programs of one
  /// machine.
  bool offload = false;

  /// "loop:loss=0.01,delay=5ms,seed=7". The options are those of port::kFaultOptions, size, mtu and
  /// offload.
  static base::Result<LoopOptions> parse(const port::Spec& spec);
};

/// Two ports, each the other's peer, with the pools that their frames live in. The ports may be
/// closed in any order, and belong to one thread. Virtual time: what the faults delay arrives by
/// advance(now) of the receiver; without delay a frame has arrived as soon as it is sent.
///
/// When `size` frames wait, tx_burst takes no more; a delayed frame that then finds no room is lost
/// and counted by the receiver as rx_no_frame.
std::pair<std::unique_ptr<port::Port>, std::unique_ptr<port::Port>> open_loop(
    const LoopOptions& options, mem::FramePool& first, mem::FramePool& second);

/// One port that is its own peer: what it sends comes back to it.
std::unique_ptr<port::Port> open_loopback(const LoopOptions& options, mem::FramePool& pool);

}  // namespace ringway::driver
