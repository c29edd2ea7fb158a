#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "driver/xdp/xdp_socket.h"
#include "mem/frame_pool.h"
#include "port/packet.h"
#include "port/port.h"

namespace ringway::driver {

/// Bound AF_XDP sockets of one device and what is to be known about it: made by this process with
/// the rights to do so (xdp_device.h), or handed over by ringway-netd.
struct XdpQueues {
  std::string device;
  base::MacAddress mac;
  std::uint16_t mtu = 1500;
  /// Frames may come from a kernel on this machine, which leaves their checksums to a device that
  /// is not there (veth).
  bool unfinished_checksums = false;
  bool chain = false;  ///< frames longer than a slot arrive as several descriptors
  xdp::Binding binding;
  std::vector<base::UniqueFd> sockets;  ///< one per queue, of one set of frames
};

/// What a port needs to have done at its end, such as to take a program off the device.
class Kept {
 public:
  virtual ~Kept() = default;
};

/// The frames of `pool` as an AF_XDP socket registers them. Errors: kInvalidArgument if the slots
/// have a size or alignment that the kernel does not take.
base::Result<xdp::Umem> umem_of(mem::FramePool& pool);

/// A port on AF_XDP queues whose UMEM is the frame pool: the kernel or the device writes into the
/// frames that the stack reads, and sends the ones that it wrote.
///
/// Some frames of the pool are always lent to the device, to receive into. All cursors are in the
/// rings, so the port may be used by a forked process too.
class XdpPort final : public port::Port {
 public:
  /// Maps the rings of bound sockets; `pool` is what they were registered with and must outlive
  /// the port.
  static base::Result<std::unique_ptr<XdpPort>> adopt(XdpQueues queues, mem::FramePool& pool);
  ~XdpPort() override;
  XdpPort(const XdpPort&) = delete;
  XdpPort& operator=(const XdpPort&) = delete;

  std::string_view name() const override { return name_; }
  const port::Caps& caps() const override { return caps_; }
  std::size_t rx_burst(std::span<mem::FrameDesc> out) override;
  std::size_t tx_burst(std::span<const mem::FrameDesc> packets) override;
  std::size_t reclaim() override;
  base::Result<int> arm() override;
  bool ready() const override;

  /// Ends with the port, before its sockets do.
  void keep(std::unique_ptr<Kept> kept) { kept_ = std::move(kept); }
  const xdp::Binding& binding() const { return binding_; }
  /// The device has gone: what is sent is dropped and counted.
  bool gone() const { return gone_; }

 private:
  enum class Sent : std::uint8_t { kYes, kBad, kNoRoom };

  explicit XdpPort(mem::FramePool& pool);
  void set_up(const XdpQueues& queues);
  std::size_t receive(xdp::Socket& queue, std::span<mem::FrameDesc> out);
  std::size_t packet_pieces(const xdp::Socket& queue, std::uint32_t from, std::uint32_t all) const;
  bool take(const xdp_desc& from, mem::FrameDesc& out);
  void drop(xdp::Socket& queue, std::uint32_t from, std::size_t pieces);
  void refill(xdp::Socket& queue);
  bool sendable(std::span<const mem::FrameDesc> packet) const;
  Sent enqueue(std::span<const mem::FrameDesc> packet, std::uint32_t& queued);
  bool write_metadata(const mem::FrameDesc& first, std::uint32_t length);
  bool join(std::span<const mem::FrameDesc> packet, mem::FrameDesc& out);
  void kick(xdp::Socket& queue);
  void lend(std::uint32_t slot) { lent_[slot / 64] |= std::uint64_t{1} << slot % 64; }
  void take_back(std::uint32_t slot) { lent_[slot / 64] &= ~(std::uint64_t{1} << slot % 64); }

  mem::FramePool& pool_;
  std::string name_;
  port::Caps caps_;
  xdp::Binding binding_;
  std::vector<xdp::Socket> queues_;
  base::UniqueFd all_;               ///< epoll of all sockets, if there are several
  std::vector<std::uint64_t> lent_;  ///< slots that the kernel has, to be given back at the end
  std::unique_ptr<Kept> kept_;
  std::uint32_t fill_target_ = 0;
  std::uint32_t owner_pid_ = 0;
  std::size_t next_queue_ = 0;
  bool unfinished_checksums_ = false;
  bool chain_ = false;
  bool gone_ = false;
};

}  // namespace ringway::driver
