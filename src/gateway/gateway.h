#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "bridge/bridge.h"
#include "gateway/attach_spec.h"
#include "gateway/attachment.h"
#include "gateway/options.h"
#include "gateway/peers.h"
#include "gateway/requests.h"
#include "ip/ip.h"
#include "port/port.h"
#include "port/tx_batch.h"
#include "wire/packet_view.h"

namespace ringway::gateway {

/// The one process that joins a network to what is outside: the local kernel through a tap, other
/// ports, several at once, with a bridge between them.
///
/// Towards these ports it speaks for every host of the network: ARP and ND, echo, closed ports.
/// What is for a stack goes over the link to it (a full link drops: loss is allowed here); what a
/// stack sends to addresses that no host has goes outside, once its source is known to be the
/// sender's. Checksums and segments are left to the ports both ways, where they can do them.
class Gateway {
 public:
  /// Joins the network, opens the port and speaks for the network from then on.
  static base::Result<std::unique_ptr<Gateway>> open(const Options& options);
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  /// Works until SIGTERM or SIGINT. Sleeps while nothing happens.
  void run();

  /// "rw0 (10.111.0.1/16) is attached to network default".
  const std::string& describe() const { return described_; }
  /// "to_tap 12, to_stacks 9, drop_tap_martian 1": every counter that is not 0.
  std::string describe_counters() const;

 private:
  static constexpr std::uint8_t kInterface = 0;
  static constexpr std::uint32_t kBurst = 64;

  /// Where frames for an address go: the first 14 bytes of a frame.
  struct Way {
    base::IpAddress remote;
    std::uint32_t generation = 0;  ///< of ip's tables; 0: none
    std::array<std::byte, 14> ethernet{};
  };

  /// A parsed frame on its way to a stack.
  struct Inbound {
    std::span<const std::byte> frame;
    const wire::PacketView& view;
    const mem::FrameDesc& desc;
  };
  enum class Routed : std::uint8_t { kFound, kNobody, kUnreachable };

  explicit Gateway(std::unique_ptr<Attachment> attachment);

  // --- gateway.cpp: set-up and the loop
  base::Result<void> set_up(const Options& options);
  base::Result<void> watch_all();
  bool turn(base::Instant now);
  void sleep(base::Instant now);
  bool has_input_at_last();
  void events(int timeout_ms);
  void control_events(base::Instant now);
  void watch_control();
  base::Instant next_deadline() const;
  void flush();

  // --- members.cpp
  struct OpenMember {
    std::unique_ptr<port::Port> port;
    mem::FramePool* pool;
    std::shared_ptr<void> memory;
  };
  base::Result<std::string> attach(const AttachSpec& spec);
  base::Result<OpenMember> open_tap(const AttachSpec& spec,
                                    const std::optional<base::Prefix>& kernel_ip);
  base::Result<OpenMember> open_other(const AttachSpec& spec);
  void configure_ip(const std::optional<base::Prefix>& router);
  base::Result<std::string> answer(std::string_view request);
  void look_for_gone();
  void caps_changed();
  void note(const std::string& line);

  // --- from_tap.cpp
  std::uint32_t receive_from_tap(base::Instant now);
  void from_tap(std::span<const std::byte> frame, const mem::FrameDesc& desc, base::Instant now);
  void neighbour_input(std::span<const std::byte> frame, wire::PacketView& view, base::Instant now);
  void unicast_input(const Inbound& in, wire::PacketView& view, base::Instant now);
  void transport_input(const Inbound& in, base::Instant now);
  void icmp_error(const ip::IcmpError& error, const Inbound& in, base::Instant now);
  Routed route(const FlowKey& key, bool may_move, base::Instant now, Peer*& peer);
  void refuse(const Inbound& in, base::Instant now);
  void to_stack(Peer& peer, const Inbound& in);
  void to_stack_in_fragments(Peer& peer, const Inbound& in);
  void touch(Peer& peer);
  void speak_for(const base::IpAddress& host);
  std::uint8_t subnet_length() const { return attachment_->table().network().prefix4_length; }

  // --- to_tap.cpp
  std::uint32_t receive_from_peers(base::Instant now);
  std::uint32_t receive_from_peer(Peer& peer, base::Instant now);
  void to_tap(Peer& peer, std::span<const std::byte> shared, const mem::FrameDesc& desc,
              base::Instant now);
  std::optional<Count> refusal(Peer& peer, std::span<const std::byte> frame,
                               const wire::PacketView& view);
  bool is_of(Peer& peer, const FlowKey& key);
  bool describe_offload(std::span<std::byte> frame, const wire::PacketView& view,
                        const mem::FrameDesc& from, mem::FrameDesc& desc);
  const Way* way_to(const base::IpAddress& remote) const;
  void send_unresolved(std::span<std::byte> frame, const wire::PacketView& view,
                       const mem::FrameDesc& desc, base::Instant now);

  ip::Outputs outputs() {
    ip::Outputs out;
    out.batches[kInterface] = &outside_;
    return out;
  }
  void count(Count c) { state_.counters.add(c); }
  static void ring(int doorbell);

  std::unique_ptr<Attachment> attachment_;
  State& state_;
  base::UniqueFd epoll_;
  base::UniqueFd signals_;
  Peers peers_;
  mem::FramePool pool_;
  std::unique_ptr<bridge::Bridge> bridge_;
  port::TxBatch outside_;  ///< to the bridge
  Requests requests_;
  base::UniqueFd log_;
  std::string described_;
  std::vector<std::byte> scratch_;  ///< of ip
  std::vector<std::byte> waiting_;  ///< a frame while its neighbour is asked
  ip::Ip ip_;
  base::IpAddress router6_;
  bool configured_ = false;
  bool routed_ = false;  ///< there is a way beyond the subnet
  std::array<Way, 256> ways_{};
  std::vector<std::uint16_t> touched_;
  std::vector<std::uint16_t> recent_;
  bool asked_daemon_ = false;  ///< events may have come along with its answer
  bool stopping_ = false;
};

}  // namespace ringway::gateway
