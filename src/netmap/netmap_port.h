#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "mem/frame_pool.h"
#include "netmap/registry.h"
#include "port/port.h"
#include "port/spec.h"

namespace ringway::netmap {

/// A netmap port ("netmap:vale0:x", "netmap:x}1") as a Port: frames are copied between the pool and
/// the port's buffers, so that a stack, a gateway or a generator meets netmap programs there.
class NetmapPort final : public port::Port {
 public:
  /// `pool` must outlive the port. Errors: kNotFound, kExists (held exclusively), kPermission.
  static base::Result<std::unique_ptr<port::Port>> open(const port::Spec& spec,
                                                        mem::FramePool& pool);
  ~NetmapPort() override;

  std::string_view name() const override { return name_; }
  const port::Caps& caps() const override { return caps_; }
  std::size_t rx_burst(std::span<mem::FrameDesc> out) override;
  std::size_t tx_burst(std::span<const mem::FrameDesc> packets) override;
  /// The bell of the calling thread, which must be the one that calls rx_burst.
  base::Result<int> arm() override;

 private:
  NetmapPort(std::string name, int fd, mem::FramePool& pool);
  void refill();
  bool take_slot(mem::FrameDesc* out);
  bool put_packet(std::span<const mem::FrameDesc> packet);

  std::string name_;
  int fd_;
  mem::FramePool& pool_;
  port::Caps caps_;
  Kring* rx_ = nullptr;
  Kring* tx_ = nullptr;
  std::uint32_t rx_head_ = 0;
  std::uint32_t tx_head_ = 0;
  bool armed_ = false;
};

}  // namespace ringway::netmap
