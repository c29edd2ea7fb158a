#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "driver/dpdk/dpdk_options.h"
#include "driver/dpdk/dpdk_pool.h"
#include "port/port.h"

struct rte_mbuf;

namespace ringway::driver {

/// A started DPDK device, shared by the ports of its queues.
class DpdkDevice {
 public:
  /// Probes, configures and starts it with one queue for each pool.
  static base::Result<std::shared_ptr<DpdkDevice>> start(
      const DpdkOptions& options, std::vector<std::unique_ptr<DpdkPool>> pools);
  /// Stops and removes it: all frames it has go back to their pools.
  ~DpdkDevice();
  DpdkDevice(const DpdkDevice&) = delete;
  DpdkDevice& operator=(const DpdkDevice&) = delete;

  std::uint16_t id() const { return id_; }
  const std::string& name() const { return name_; }
  DpdkPool& pool(std::uint16_t queue) const { return *pools_[queue]; }
  bool chains() const { return chains_; }

 private:
  DpdkDevice() = default;
  base::Result<void> set_up(const DpdkOptions& options);
  base::Result<void> set_up_queues(const DpdkOptions& options);

  std::uint16_t id_ = 0;
  std::string name_;
  std::vector<std::unique_ptr<DpdkPool>> pools_;
  bool probed_ = false;
  bool started_ = false;
  bool chains_ = false;
};

/// One queue of a DPDK device. Frames are the pool's own, both ways (DpdkPool). Poll only.
class DpdkPort final : public port::Port {
 public:
  DpdkPort(std::shared_ptr<DpdkDevice> device, std::uint16_t queue);

  std::string_view name() const override { return device_->name(); }
  const port::Caps& caps() const override { return caps_; }
  std::size_t rx_burst(std::span<mem::FrameDesc> out) override;
  std::size_t tx_burst(std::span<const mem::FrameDesc> packets) override;
  std::size_t reclaim() override;
  base::Result<int> arm() override;
  void advance(base::Instant now) override;

 private:
  static constexpr std::size_t kBurst = 64;

  std::size_t accept(rte_mbuf* packet, std::span<mem::FrameDesc> out);
  bool sendable(std::span<const mem::FrameDesc> packet) const;
  rte_mbuf* chain(std::span<const mem::FrameDesc> packet);
  rte_mbuf* copy(std::span<const mem::FrameDesc> packet);
  std::size_t flush();
  void read_caps();

  std::shared_ptr<DpdkDevice> device_;
  std::uint16_t queue_;
  DpdkPool& pool_;
  port::Caps caps_;
  base::Instant look_{};
  std::uint64_t missed_ = 0;
};

}  // namespace ringway::driver
