#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/wire.h"
#include "sim/world.h"
#include "tcp/tcp.h"
#include "tcp/zeroed.h"

namespace ringway::sim {

/// Sizes of a host: small ones bring the limits within a test's reach.
struct HostOptions {
  std::string name = "host";
  base::IpAddress address;
  base::IpAddress peer;
  port::Caps caps;
  port::FaultOptions faults;  ///< of what it sends
  std::uint32_t frames = 1024;
  std::uint32_t slot_bytes = 4096;
  std::size_t ring_slots = 0;  ///< WirePort::limit()
  /// Frames of a Region of its own for what arrives, as a link has; 0: the same pool.
  std::uint32_t rx_frames = 0;
};

/// A host that has nothing but TCP: one wire, one path, no ARP. A turn is as in the stack: receive,
/// timers, output, flush.
class TcpHost final : public Actor {
 public:
  explicit TcpHost(const HostOptions& options);
  static void join(TcpHost& a, TcpHost& b) { WirePort::join(*a.wire_, *b.wire_); }

  tcp::Tcp& tcp() { return tcp_; }
  WirePort& wire() { return *wire_; }
  const HostOptions& options() const { return options_; }
  base::Instant next_event() const override;
  void act(base::Instant now) override;
  /// Whom to tell about events of `socket`.
  void on_event(std::uint32_t socket, std::function<void(const tcp::Event&)> handler) {
    handlers_[socket] = std::move(handler);
  }
  std::uint32_t new_socket() { return ++last_socket_; }
  /// A user has called: output is due although nothing arrived.
  void touch() { touched_ = true; }

  static constexpr std::uint32_t kPath = 1;

  // What must be nothing when all is over.
  std::uint32_t frames_in_use() const {
    return options_.frames - 1 - pool_.free_count() + options_.rx_frames - rx_pool_.free_count();
  }
  std::uint32_t cells_in_use() const { return cells_->in_use(); }
  std::uint32_t connections_in_use() { return state_->connections.in_use(); }
  std::uint64_t frames_dropped_bad() const { return bad_; }
  /// Deadlines that lay in the past right after a turn: must stay 0.
  std::uint64_t stale_deadlines() const { return stale_; }

 private:
  mem::FramePool& rx_pool() { return options_.rx_frames != 0 ? rx_pool_ : pool_; }
  void receive(const mem::FrameDesc& desc, base::Instant now);
  void demux(tcp::Segment& segment, const base::Endpoint& local, const base::Endpoint& remote,
             base::Instant now);

  HostOptions options_;
  tcp::Zeroed<tcp::TcpState> state_;
  tcp::Zeroed<mem::CellSlab> cells_;
  tcp::Zeroed<std::byte> memory_;
  mem::FramePoolState pool_state_{};
  mem::FramePool pool_;
  tcp::Zeroed<std::byte> rx_memory_;
  mem::FramePoolState rx_pool_state_{};
  mem::FramePool rx_pool_;
  std::unique_ptr<mem::RegionTable> regions_;
  std::unique_ptr<WirePort> wire_;
  std::unique_ptr<port::TxBatch> batch_;
  std::vector<port::TxBatch*> batches_;
  std::vector<port::Path> paths_;
  tcp::Tcp tcp_;
  std::map<std::uint32_t, std::function<void(const tcp::Event&)>> handlers_;
  std::uint32_t last_socket_ = 0;
  bool touched_ = false;
  base::Instant last_turn_;
  std::uint64_t bad_ = 0;
  std::uint64_t stale_ = 0;
};

}  // namespace ringway::sim
