#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "driver/frames.h"
#include "driver/memif/memif_control.h"
#include "driver/memif/memif_options.h"
#include "port/port.h"

namespace ringway::driver {

/// A port to a VPP or DPDK program on this machine by the memif protocol, in either role.
///
/// Frames are copied once between the shared buffers and the pool; a slave with `zerocopy` shares
/// its pool, and nothing is copied. The peer's indices and descriptors are read once and checked:
/// one that breaks the protocol counts as rx_bad and loses the connection, nothing else. Without a
/// peer, what is sent counts as tx_error. The control channel is served in advance() and, now and
/// then, by idle bursts.
class MemifPort final : public port::Port {
 public:
  /// Errors: kInvalidArgument if the pool cannot be shared as `zerocopy` asks; those of a listener.
  static base::Result<std::unique_ptr<MemifPort>> open(const MemifOptions& options,
                                                       const Frames& frames);
  /// With a control connection that is there already, and no other after it.
  static std::unique_ptr<MemifPort> adopt(const MemifOptions& options, const Frames& frames,
                                          base::UniqueFd peer);
  ~MemifPort() override;
  MemifPort(const MemifPort&) = delete;
  MemifPort& operator=(const MemifPort&) = delete;

  std::string_view name() const override { return options_.path; }
  const port::Caps& caps() const override { return caps_; }
  std::size_t rx_burst(std::span<mem::FrameDesc> out) override;
  std::size_t tx_burst(std::span<const mem::FrameDesc> packets) override;
  std::size_t reclaim() override;
  base::Result<int> arm() override;
  void advance(base::Instant now) override;

  bool connected() const { return control_.connected(); }
  /// Why the last connection ended.
  const std::string& reason() const { return control_.reason(); }

 private:
  /// A piece of a packet in shared memory, checked.
  struct Piece {
    std::uint16_t region;
    std::uint32_t offset;
    std::uint32_t length;
  };
  enum class Found : std::uint8_t { kPacket, kNothing, kBad, kViolation };

  MemifPort(const MemifOptions& options, const Frames& frames, memif::Control control);
  void serve(base::Instant now);
  void connect();
  void disconnect();
  void violated(std::string_view reason);

  std::size_t receive(std::span<mem::FrameDesc> out);
  Found next_packet(std::uint16_t available);
  bool place(std::uint16_t index, const memif::Desc& desc, Piece& piece) const;
  std::size_t take(std::span<mem::FrameDesc> out, std::size_t pieces);
  std::size_t copy_in(std::span<mem::FrameDesc> out);
  void post();

  bool sendable(std::span<const mem::FrameDesc> packet) const;
  bool send(std::span<const mem::FrameDesc> packet);
  bool send_shared(std::span<const mem::FrameDesc> packet);
  bool find_room(std::uint32_t length);
  bool copy_out(std::span<const mem::FrameDesc> packet);
  void publish();
  void listen_to(int fd);

  memif::Ring& rx_ring() { return options_.master ? memory().s2m : memory().m2s; }
  memif::Ring& tx_ring() { return options_.master ? memory().m2s : memory().s2m; }
  memif::Memory& memory() { return control_.memory(); }
  const memif::Memory& memory() const { return const_cast<memif::Control&>(control_).memory(); }
  int rx_bell() { return (options_.master ? memory().s2m_bell : memory().m2s_bell).get(); }
  int tx_bell() { return (options_.master ? memory().m2s_bell : memory().s2m_bell).get(); }
  bool shared() const { return options_.zero_copy; }

  MemifOptions options_;
  Frames frames_;
  mem::FramePool& pool_;
  port::Caps caps_;
  memif::Control control_;
  bool up_ = false;

  std::uint16_t rx_ = 0;      ///< next descriptor to receive from
  std::uint16_t posted_ = 0;  ///< slave: end of the buffers that the master may fill
  std::uint16_t tx_ = 0;      ///< next descriptor to send with
  std::uint16_t freed_ = 0;   ///< zero copy: oldest descriptor that the master may still read
  std::vector<std::uint32_t> rx_slots_;  ///< zero copy: the frame behind each descriptor
  std::vector<std::uint32_t> tx_slots_;
  std::vector<Piece> pieces_;  ///< of the packet at hand

  base::UniqueFd epoll_;  ///< once armed: the bell and the control channel
  int watched_ = -1;      ///< control fd within epoll_
  base::Instant now_{};
  base::Instant look_{};
  std::uint32_t idle_ = 0;
};

}  // namespace ringway::driver
