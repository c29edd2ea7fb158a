#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>

#include "base/address.h"
#include "base/time.h"
#include "ip/counters.h"
#include "ip/interface.h"
#include "ip/neighbour_cache.h"
#include "ip/path_mtu.h"
#include "ip/rate_limit.h"
#include "ip/reassembly.h"
#include "ip/route_table.h"
#include "mem/byte_queue.h"
#include "port/path.h"
#include "port/tx_batch.h"
#include "wire/arp.h"
#include "wire/icmp.h"
#include "wire/packet_view.h"

namespace ringway::ip {

/// All of ip's state of one stack. Lives in the arena; all zero is a valid, empty one.
struct State {
  static constexpr std::uint32_t kMaxFailed = 32;

  std::array<Interface, kMaxInterfaces> interfaces;
  RouteTable routes;
  NeighbourCache neighbours;
  Reassembly reassembly;
  PathMtuCache path_mtu;
  RateLimit error_limit;
  Counters counters;
  std::uint32_t generation;  ///< grows whenever a Path made before may be out of date
  std::uint32_t ip_id;       ///< identification of packets without a Path of their own
  std::uint32_t failed_count;
  std::array<base::IpAddress, kMaxFailed> failed;  ///< next hops that did not answer
  std::uint32_t wanted_count;
  std::array<base::IpAddress, kMaxFailed> wanted;  ///< next hops that somebody else is to ask
};
static_assert(std::is_trivially_copyable_v<State> && std::is_standard_layout_v<State>);

/// Where each interface's packets leave; nullptr where there is no single batch (all links
/// together).
struct Outputs {
  std::array<port::TxBatch*, kMaxInterfaces> batches{};
};

/// A received packet: `view` describes `frame`, as wire::parse_frame left it.
struct Packet {
  std::uint8_t interface = 0;
  std::span<const std::byte> frame;
  wire::PacketView& view;
  port::TxBatch& reply;  ///< the port that it came from: answers leave there
};

/// An ICMP or ICMPv6 error about a packet that we sent.
struct IcmpError {
  enum class Kind : std::uint8_t {
    kHostUnreachable,  // net, host, no route, address
    kProtocolUnreachable,
    kPortUnreachable,
    kProhibited,
    kTooBig,  // `mtu` counts; 0: the router did not say
    kTimeExceeded,
    kParameterProblem,
  };
  Kind kind = Kind::kHostUnreachable;
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint32_t mtu = 0;
  wire::QuotedPacket quoted;
};

/// What is to be done with a packet that went through Ip::input().
struct Verdict {
  enum class Action : std::uint8_t {
    kDone,     // answered, kept, or dropped and counted
    kDeliver,  // to the upper layer of view.protocol: `frame` as `view` describes it
    kError,    // `error` goes to whoever sent the quoted packet
  };
  Action action = Action::kDone;
  std::span<const std::byte>
      frame;  ///< the one given, or a reassembled one, valid until the next input
  IcmpError error;
};

enum class PathOutcome : std::uint8_t {
  kReady,
  kPending,   ///< the neighbour was asked; State::generation grows when it answers
  kNoRoute,   ///< ENETUNREACH
  kNoSource,  ///< EADDRNOTAVAIL
};

/// IP of one stack: addresses, neighbours, ICMP, fragments. A process-local view; not thread-safe.
/// Knows no clock: `now` is given. Sends only through the batches that it is handed.
class Ip {
 public:
  /// `scratch`: at least Reassembly::kScratchBytes, of the caller, for reassembled packets.
  Ip(State& state, const mem::Buffers& buffers, std::span<std::byte> scratch)
      : state_(state), buffers_(buffers), scratch_(scratch) {}

  // Configuration.

  /// Puts an interface into use; its addresses are kept.
  void set_interface(std::uint8_t index, const port::Caps& caps);
  void remove_interface(std::uint8_t index);
  /// Adds an address and the route to its subnet. False if a table is full.
  bool add_address(std::uint8_t interface, const base::Prefix& address);
  bool remove_address(std::uint8_t interface, const base::IpAddress& address);
  bool add_route(const Route& route);
  bool remove_route(const base::Prefix& destination, std::uint8_t interface);
  /// The neighbours of this interface are somebody else's to ask (on a device shared with the
  /// kernel): what is needed is listed for take_wanted(), what is known comes by set_neighbour().
  void set_neighbours_external(std::uint8_t interface);
  struct KnownNeighbour {
    std::uint8_t interface = 0;
    base::IpAddress address;
    base::MacAddress mac;
  };
  /// Holds until it is set anew or dropped. What waited for it leaves by `out`.
  void set_neighbour(const KnownNeighbour& known, port::TxBatch& out);
  void drop_neighbour(std::uint8_t interface, const base::IpAddress& address);
  /// An address that set_neighbour() is waited for with, if any.
  std::optional<base::IpAddress> take_wanted();
  /// Tells the neighbours of our addresses: gratuitous ARP, unsolicited advertisements.
  void announce(std::uint8_t interface, port::TxBatch& out);

  // Input.

  /// True if a whole TCP or UDP packet needs nothing of input(): it is for us and from a sane
  /// source.
  bool is_plain(std::uint8_t interface, const wire::PacketView& view) const;
  /// Takes any packet that parsed without a drop. view.protocol, addresses and offsets may change
  /// by reassembly; then verdict.frame is what they describe.
  Verdict input(Packet packet, base::Instant now);

  // Answers.

  /// Answers `packet` with port unreachable, as far as it may be answered.
  void send_port_unreachable(const Packet& packet, base::Instant now);
  /// Answers `packet` with protocol unreachable (or its ICMPv6 counterpart).
  void send_protocol_unreachable(const Packet& packet, base::Instant now);
  /// Answers those drops of the parser that IPv6 wants answered (RFC 8200, 4.2 to 4.4).
  void send_parse_problem(const Packet& packet, wire::ParseDrop drop, base::Instant now);

  // Output.

  /// The way to `remote`, from `local` or, if that is unspecified, from the best source. Asks the
  /// neighbour if need be. Without a batch for the interface the caller sets port and capabilities.
  PathOutcome make_path(const base::IpAddress& remote, const base::IpAddress& local,
                        base::Instant now, const Outputs& outputs, port::Path& path);
  /// Puts a port's capabilities into a path; mtu is the lower of both.
  static void apply_caps(const port::Caps& caps, port::Path& path);
  /// The next hop towards `remote`, or nothing.
  std::optional<NextHop> next_hop(const base::IpAddress& remote) const;
  /// Keeps a copy of a frame made from a pending path until its neighbour answers. Of several only
  /// the last Neighbour::kMaxPending are kept. False: dropped and counted.
  bool hold(const port::Path& path, std::span<const std::byte> frame);
  /// Sends `l4` (checksum done) in as many fragments as the path's MTU demands. False: no room in
  /// the batch; nothing, or not all, was sent.
  bool send_fragments(port::Path& path, std::uint8_t protocol, std::span<const std::byte> l4,
                      port::TxBatch& out);
  /// The upper layer heard from `remote` lately (RFC 4861, 7.3.1): its neighbour need not be
  /// probed.
  void confirm(const base::IpAddress& remote, base::Instant now);
  /// Notes a "packet too big" that the upper layer believes. True if it lowers the path's MTU.
  bool learn_mtu(const IcmpError& error, base::Instant now);

  // Time.

  /// Retransmits solicitations, ends reassemblies. To be called when next_deadline() has come.
  void poll(base::Instant now, const Outputs& outputs);
  base::Instant next_deadline() const;
  /// A next hop that was given up since the last call, if any.
  std::optional<base::IpAddress> take_failed();

  State& state() { return state_; }
  const State& state() const { return state_; }

 private:
  struct ArpTarget {
    std::uint8_t interface;
    base::MacAddress mac;
    wire::ArpOperation operation;
  };

  void count(Counter c) { state_.counters.add(c); }
  Verdict drop(Counter reason);
  Verdict deliver(const Packet& packet);

  // input.cpp
  bool source_ok(const Interface& interface, const wire::PacketView& view) const;
  bool destination_ok(const Interface& interface, const wire::PacketView& view) const;
  bool reassemble(Packet& packet, base::Instant now);

  // icmp.cpp
  Verdict icmp_input(const Packet& packet);
  Verdict icmpv6_input(const Packet& packet, base::Instant now);
  Verdict error_input(const Packet& packet, IcmpError error);
  void echo_reply(const Packet& packet);
  bool may_answer(const Packet& packet) const;
  void send_error(const Packet& packet, const wire::IcmpHeader& header, base::Instant now);
  void send_reassembly_timeout(PartialDatagram& d, base::Instant now, port::TxBatch& out);

  // arp.cpp, nd.cpp
  void arp_input(const Packet& packet, base::Instant now);
  void arp_conflict(const Packet& packet, const base::IpAddress& ours, base::Instant now);
  void send_arp(const ArpTarget& to, const base::IpAddress& sender, const base::IpAddress& target,
                port::TxBatch& out);
  void neighbour_solicitation(const Packet& packet);
  void neighbour_advertisement(const Packet& packet, base::Instant now);
  void send_advertisement(const port::Path& path, const base::IpAddress& target, bool solicited,
                          port::TxBatch& out);
  void send_nd(port::Path path, std::span<std::byte> message, port::TxBatch& out);

  // neighbours.cpp
  std::uint32_t find_or_create(std::uint8_t interface, const base::IpAddress& address);
  bool resolve(const NextHop& hop, base::Instant now, const Outputs& outputs,
               base::MacAddress& mac);
  void start_resolution(std::uint32_t index, base::Instant now, const Outputs& outputs);
  void solicit(const Neighbour& neighbour, port::TxBatch& out);
  void neighbour_due(std::uint32_t index, base::Instant now, const Outputs& outputs);
  void give_up(std::uint32_t index);
  void answered(std::uint32_t index, const base::MacAddress& mac, base::Instant now,
                port::TxBatch& out);
  void neighbour_resolved(std::uint32_t index, base::Instant now, port::TxBatch& out);
  void neighbour_heard(const Packet& packet, const base::IpAddress& address,
                       const base::MacAddress& mac, bool create);
  void send_pending(Neighbour& neighbour, port::TxBatch& out);
  void free_pending(Neighbour& neighbour, Counter reason);

  // ip.cpp, output.cpp
  std::uint8_t interface_of(const base::IpAddress& local) const;
  port::Path reply_path(std::uint8_t interface, const base::IpAddress& local,
                        const base::IpAddress& remote, const base::MacAddress& mac) const;
  void send_l4(port::Path path, wire::Protocol protocol, std::span<const std::byte> l4,
               port::TxBatch& out);

  State& state_;
  mem::Buffers buffers_;
  std::span<std::byte> scratch_;
};

}  // namespace ringway::ip
