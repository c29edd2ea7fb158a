#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "driver/packet/packet_device.h"
#include "driver/packet/packet_ring.h"
#include "mem/frame_pool.h"
#include "port/port.h"

namespace ringway::driver {

/// A port to an interface of the kernel through a packet socket and its two rings
/// (Documentation/networking/packet_mmap.rst): for machines and devices without XDP. The kernel
/// goes on receiving the same frames itself.
///
/// Frames are copied once between ring and pool. What the interface goes through (down, up, gone,
/// another MTU) is noticed by advance(), and never ends the port: sending counts tx_error,
/// receiving is silent.
class PacketPort final : public port::Port {
 public:
  /// One queue for each pool; several share the interface's frames by fanout. The pools must
  /// outlive the ports.
  static base::Result<std::vector<std::unique_ptr<port::Port>>> open(
      const PacketOptions& options, const std::vector<mem::FramePool*>& pools);
  /// The same on a socket that somebody else has opened: one queue.
  static base::Result<std::unique_ptr<PacketPort>> open(PacketDevice device,
                                                        const PacketOptions& options,
                                                        mem::FramePool& pool);
  ~PacketPort() override;
  PacketPort(const PacketPort&) = delete;
  PacketPort& operator=(const PacketPort&) = delete;

  std::string_view name() const override { return device_.name; }
  const port::Caps& caps() const override { return caps_; }
  std::size_t rx_burst(std::span<mem::FrameDesc> out) override;
  std::size_t tx_burst(std::span<const mem::FrameDesc> packets) override;
  std::size_t reclaim() override;
  base::Result<int> arm() override;
  void advance(base::Instant now) override;

  const PacketDevice& device() const { return device_; }

 private:
  PacketPort(PacketDevice device, mem::FramePool& pool) : device_(std::move(device)), pool_(pool) {}
  base::Result<void> set_up(const PacketOptions& options);
  std::size_t receive(const RingFrame& frame, std::span<mem::FrameDesc> out);
  std::size_t fill(const RingFrame& frame, std::span<mem::FrameDesc> pieces);
  bool send(std::span<const mem::FrameDesc> packet);
  bool sendable(std::span<const mem::FrameDesc> packet) const;
  void flush();

  PacketDevice device_;
  mem::FramePool& pool_;
  port::Caps caps_;
  PacketRings rings_;
  PacketReceiver receiver_;
  PacketSender sender_;
  bool offload_ = false;
  base::Instant look_{};  ///< when to ask the kernel again
};

}  // namespace ringway::driver
