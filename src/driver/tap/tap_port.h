#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "driver/tap/tap_device.h"
#include "driver/tap/vnet_header.h"
#include "mem/frame_pool.h"
#include "port/packet.h"
#include "port/port.h"

namespace ringway::driver {

/// A port to the local kernel's network through a tap, which sees frames of ours as coming from a
/// wire.
///
/// With offloads, TCP frames longer than the MTU go both ways in one piece, and checksums that no
/// wire can damage are not computed. Frames from the kernel are kept within one slot of the pool
/// (the kernel cuts them), or, with `chain`, arrive as several descriptors. One system call a
/// frame; no state is kept between calls.
class TapPort final : public port::Port {
 public:
  /// Opens or makes the interface and configures it as `options` ask. `pool` must outlive the port.
  static base::Result<std::unique_ptr<TapPort>> open(const TapOptions& options,
                                                     mem::FramePool& pool);
  /// The same on a tap that somebody else has opened (and configured: without the right to do so,
  /// only what `options` do not ask for can be left undone).
  static base::Result<std::unique_ptr<TapPort>> open(TapDevice device, const TapOptions& options,
                                                     mem::FramePool& pool);

  /// Several queues of one interface, one for each pool.
  static base::Result<std::vector<std::unique_ptr<port::Port>>> open_queues(
      const TapOptions& options, const std::vector<mem::FramePool*>& pools);

  std::string_view name() const override { return device_.name; }
  const port::Caps& caps() const override { return caps_; }
  std::size_t rx_burst(std::span<mem::FrameDesc> out) override;
  std::size_t tx_burst(std::span<const mem::FrameDesc> packets) override;
  base::Result<int> arm() override { return device_.fd.get(); }

 private:
  enum class Sent : std::uint8_t { kYes, kNo, kBusy };

  TapPort(TapDevice device, mem::FramePool& pool) : device_(std::move(device)), pool_(pool) {}
  base::Result<void> set_up(const TapOptions& options);
  bool agree_on_segments();
  std::size_t receive(std::span<mem::FrameDesc> out, bool& more);
  std::size_t accept(std::span<mem::FrameDesc> pieces, std::size_t length,
                     const VnetHeader& header);
  bool sendable(std::span<const mem::FrameDesc> packet, VnetHeader& header) const;
  Sent send(std::span<const mem::FrameDesc> packet);
  std::uint32_t room_in(std::uint32_t slot) const {
    return std::min<std::uint32_t>(pool_.slot_size() - mem::coloured_headroom(slot), UINT16_MAX);
  }

  TapDevice device_;
  mem::FramePool& pool_;
  port::Caps caps_;
  std::size_t rx_pieces_ = 1;  ///< slots that the longest frame from the kernel may need
};

}  // namespace ringway::driver
