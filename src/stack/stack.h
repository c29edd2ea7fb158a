#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "ip/ip.h"
#include "mem/byte_queue.h"
#include "mem/region.h"
#include "port/tx_batch.h"
#include "stack/external.h"
#include "stack/looker.h"
#include "stack/received.h"
#include "stack/stack_capture.h"
#include "stack/stack_config.h"
#include "stack/state.h"
#include "tcp/tcp.h"
#include "udp/udp.h"

namespace ringway::stack {

/// One stack as one process sees it: joins ports and protocols over the state in the arena.
///
/// No clock, no thread, no system call but a driver's. Every call needs the stack's lock,
/// has_input() apart. Several processes may have the same arena open after fork: whoever holds the
/// lock runs the turn.
class Stack {
 public:
  static constexpr std::uint16_t kNoLink = 0xffff;

  /// Makes a stack in a new arena.
  static base::Result<std::unique_ptr<Stack>> create(const StackConfig& config);
  /// Opens a stack that somebody else made (a reaper); links are mapped with map_link().
  static base::Result<std::unique_ptr<Stack>> open(int arena_fd);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  StackState& state() { return *state_; }
  const StackState& state() const { return *state_; }
  tcp::Tcp& tcp() { return tcp_; }
  udp::Udp& udp() { return udp_; }
  ip::Ip& ip() { return *ip_; }
  mem::Arena& arena() { return arena_; }
  const mem::Buffers& buffers() const { return buffers_; }

  // --- the turn ------------------------------------------------------------------------------
  /// Receives at most a budget of frames, runs protocols and due timers, sends what is due and
  /// flushes. True if anything was received or a timer ran.
  bool turn(base::Instant now);
  /// Hands what has been written to the ports; after user calls that may have sent. Adds to
  /// bells().
  void flush() {
    if ((touched_.count | room_made_.count) != 0) flush_all();
  }
  /// True if a protocol has news for the front end.
  bool has_events() const {
    return !state_->tcp.events.empty() || !state_->tcp.listener_events.empty() ||
           !state_->udp.events.empty();
  }
  /// True if turn() would find something to receive. Reads shared memory only; needs no lock.
  bool has_input() const;
  /// The same for who holds the lock: nobody can take links away meanwhile, so it is cheaper.
  bool has_input_inside() const {
    if (mailbox_ != nullptr && mailbox_->summary.load(std::memory_order_relaxed) != 0) return true;
    for (std::uint32_t i = 0; i < state_->hot_count; ++i) {
      const Link* link = links_[state_->hot[i]].get();
      if (link != nullptr && link->receiver().ready()) return true;
    }
    return false;
  }
  base::Instant next_deadline() const;
  /// Doorbells to ring after the lock is released. The caller takes them all and clears.
  std::vector<int>& bells() { return bells_; }

  // --- sleeping --------------------------------------------------------------------------------
  /// Says that this stack sleeps, then looks once more. False: there is something to do after all
  /// (and the stack no longer counts as asleep).
  bool prepare_sleep(ring::Mailbox& mailbox);
  void wake(ring::Mailbox& mailbox);
  /// The mailbox in which peers mark this stack's links.
  void set_mailbox(ring::Mailbox* mailbox) { mailbox_ = mailbox; }

  // --- links -----------------------------------------------------------------------------------
  /// Errors: kExhausted. Returns the link's index.
  base::Result<std::uint16_t> add_link(NewLink link);
  /// Maps a link that another holder of the arena has made.
  void map_link(std::uint16_t index, LinkParts parts);
  bool mapped(std::uint16_t index) const { return links_[index] != nullptr; }
  /// The link to a stack that is up; kNoLink.
  std::uint16_t link_to(steering::StackId peer) const;
  /// The peer is gone: what it had sent is received, then its connections are reset.
  void take_link_down(std::uint16_t index, base::Instant now);
  /// Links that are up in the arena but not mapped in this process: see map_link().
  /// Looked at without the lock: a moment's view.
  bool has_unmapped_links() const {
    return __atomic_load_n(&links_generation_, __ATOMIC_RELAXED) !=
           __atomic_load_n(&state_->links_generation, __ATOMIC_RELAXED);
  }
  /// Another holder may have taken links down and made new ones in their place: on every entry.
  void follow_links() {
    if (followed_generation_ != state_->links_generation) [[unlikely]]
      drop_stale_links();
  }
  /// The fd that rings the peer of a link; -1 if it is not mapped here.
  int link_doorbell(std::uint16_t index) const {
    return links_[index] ? links_[index]->doorbell() : -1;
  }
  void collect_unmapped(std::vector<std::uint16_t>& out);

  /// True while a connection over a link to a gateway has something to send or to have
  /// acknowledged: whoever closes the stack then cuts it off. Looks at every connection.
  bool owes() const;
  /// True while a connection over a link to a gateway is in any state but CLOSED: TIME-WAIT and
  /// what waits for the peer's FIN too. Looks at every connection.
  bool lingers() const;

  // --- ports of other drivers ------------------------------------------------------------------
  /// Joins a port with the frames of `pool`; both outlive the stack. Its number, or kNoLink.
  std::uint16_t add_port(port::Port& port, mem::FramePool& pool);
  std::uint32_t port_count() const { return external_count_; }
  int port_fd(std::uint32_t i) const { return external_[i].fd; }
  port::TxBatch& port_tx(std::uint32_t i) { return external_[i].tx; }
  static std::uint8_t interface_of(std::uint16_t port) {
    return static_cast<std::uint8_t>(port < kMaxLinks ? kLinksInterface
                                                      : kFirstInterface + port - kFirstPort);
  }
  void set_port_mtu(std::uint16_t number, std::uint16_t mtu);
  /// The device is gone: its connections end.
  void take_port_down(std::uint16_t number, base::Instant now);
  /// In a forked child: what is pending is the parent's to send.
  void forget_pending_frames();

  // --- paths -----------------------------------------------------------------------------------
  /// The path over `port` between two addresses; made if it is new. 0: the table is full.
  std::uint32_t path_for(std::uint16_t port, const base::IpAddress& local,
                         const base::IpAddress& remote);
  port::Path& path(std::uint32_t index) { return state_->paths.slab[index]; }

  // --- ports -----------------------------------------------------------------------------------
  /// A free ephemeral port for this pair of addresses, from the leased blocks. 0: none; lease
  /// another block.
  std::uint16_t choose_port(steering::Protocol protocol, const base::IpAddress& local,
                            const base::Endpoint& remote);
  void add_port_block(steering::Protocol protocol, PortBlock block);

  /// A holder died inside: every connection is reset, nothing is repaired by guess.
  void poison(base::Instant now);
  /// The lock came from a holder that died with it. One that was only looking did no harm.
  void holder_died(base::Instant now) {
    if (state_->changing != 0) poison(now);
    end_change();
  }
  /// Around everything that changes the state, within the lock.
  void begin_change() {
    std::atomic_ref(state_->changing).store(1, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
  void end_change() {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    std::atomic_ref(state_->changing).store(0, std::memory_order_relaxed);
  }

 private:
  explicit Stack(mem::Arena arena);

  static constexpr std::uint32_t kFreedPath = UINT32_MAX;  ///< Path::users of a freed one

  bool run_timers(base::Instant now);
  std::uint32_t poll_link(std::uint16_t index, std::uint32_t budget, base::Instant now);
  std::uint32_t poll_marked(base::Instant now);
  void set_hot_links(bool hot);
  void look_for_room();
  bool found_room();
  void flush_all();
  void ring_bell(int fd);
  void heat(std::uint16_t index);
  void cool(std::uint32_t at);
  void input(std::uint16_t port, Received& frame, base::Instant now);
  void input_udp(std::uint16_t port, Received& frame, const wire::PacketView& view,
                 std::span<const std::byte> packet, base::Instant now);
  void input_ip(std::uint16_t port, Received& frame, wire::PacketView& view, base::Instant now);
  void deliver(std::uint16_t port, Received& frame, const wire::PacketView& view,
               std::span<const std::byte> packet, base::Instant now);
  void icmp_error(const ip::IcmpError& error, base::Instant now);
  void input_slow(std::uint16_t port, Received& frame, base::Instant now);
  void input_tcp(std::uint16_t port, Received& frame, const base::Endpoint& local,
                 const base::Endpoint& remote, const L4& l4, base::Instant now);
  static tcp::Segment segment_of(const Received& frame, const L4& l4);
  bool to_connection(std::uint16_t port, Received& frame, std::uint32_t connection, const L4& l4,
                     base::Instant now);
  void to_listener(std::uint16_t port, Received& frame, const base::Endpoint& local,
                   const base::Endpoint& remote, const L4& l4, base::Instant now);
  void install(std::uint16_t index, LinkParts parts);
  void init_links_interface();
  ip::Outputs outputs() const;
  static bool cut_datagram(void* self, port::Path& path, std::span<const std::byte> l4,
                           port::TxBatch& out);
  bool ports_ready() const;
  std::uint32_t poll_port(std::uint32_t i, base::Instant now);
  bool port_blocked() const;
  bool make_external_path(port::Path& path, std::uint16_t port, const base::IpAddress& local,
                          const base::IpAddress& remote);
  void refresh_external_paths();
  void learn_neighbour(std::uint16_t port, const Received& frame, const base::IpAddress& remote);
  void init_path(port::Path& path, std::uint16_t port, const base::IpAddress& local,
                 const base::IpAddress& remote);
  void sweep_paths();
  void unlink_path(std::uint32_t index);
  void forget_paths(std::uint16_t port);
  void free_dead_paths();
  void release_down_links();
  void drop_stale_links();
  void change_links();
  /// Takes a link out of use here; unmapped once nobody can be looking at it.
  void retire(std::uint16_t index);
  void bury();
  mem::Arena arena_;
  StackState* state_ = nullptr;
  mem::FramePool pool_;
  mem::RegionTable regions_;
  mem::Buffers buffers_;
  std::array<port::TxBatch*, kAllPorts> tx_{};
  std::array<std::unique_ptr<Link>, kMaxLinks> links_;
  std::array<std::atomic<const Link*>, kMaxLinks> visible_{};  ///< links_ for has_input()
  std::vector<std::unique_ptr<Link>> retired_;  ///< may still be looked at, or have a bell to ring
  std::uint32_t followed_generation_ = 0;
  std::uint32_t links_generation_ = 0;  ///< state_->links_generation when all links were mapped
  std::array<External, kMaxPorts> external_;
  std::uint32_t external_count_ = 0;
  std::uint32_t paths_generation_ = 0;  ///< ip's when external paths were made anew
  port::TouchedPorts touched_;
  ring::RoomMade room_made_;
  base::Instant timers_looked_at_{0};
  ring::Mailbox* mailbox_ = nullptr;
  bool only_marks_ = false;  ///< the kernel has no membarrier for this process
  StackCapture capture_;
  std::vector<int> bells_;
  tcp::Tcp tcp_;
  udp::Udp udp_;
  std::vector<std::byte> scratch_;  ///< reassembled packets and datagrams to be cut; made once
  std::optional<ip::Ip> ip_;
};

}  // namespace ringway::stack
