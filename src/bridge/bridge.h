#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/counters.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "bridge/learning_table.h"
#include "bridge/storm_limit.h"
#include "mem/frame_pool.h"
#include "port/port.h"

namespace ringway::bridge {

/// What a bridge did with frames, and why it dropped some. Names: counters.cpp.
enum class Count : std::uint32_t {
  kForwarded,    ///< from one member to another
  kFlooded,      ///< copies to members that may have the station
  kToHosts,      ///< to the network's own hosts
  kFromHosts,    ///< from them
  kDropStorm,    ///< broadcast, multicast or unknown, beyond the limit
  kDropShort,    ///< no Ethernet header
  kDropChain,    ///< a packet of several frames
  kDropOwn,      ///< sent by ourselves: two members are on one wire
  kDropVlan,     ///< a VLAN that is not the member's
  kDropTooLong,  ///< longer than the member sends, and not to be cut
  kDropNoFrame,  ///< no frame in the pool of the member
  kDropFull,     ///< the member does not take frames
  kCount
};
std::string_view name(Count count);
using Counters = base::Counters<Count>;

struct MemberOptions {
  std::uint16_t vlan = 0;        ///< untagged frames of this member are of that VLAN; 0: all pass
  std::uint32_t storm = 10'000;  ///< flooded frames a second from this member; 0: any
};

/// Several ports as one: a learning Ethernet bridge whose own station are the hosts of a network.
/// It is a Port itself: rx_burst() returns what is for the hosts, tx_burst() sends for them.
///
/// VLANs: a member without `vlan` is a trunk: tags stay on, and what has none belongs to VLAN 0,
/// the hosts' own. A member with `vlan` gets frames of that VLAN only, without their tags. What a
/// member cannot do (checksums, segments) is done here. One thread.
class Bridge final : public port::Port {
 public:
  static constexpr std::size_t kMostMembers = 32;

  /// `pool`: of what goes to and comes from the hosts; must outlive the bridge.
  explicit Bridge(mem::FramePool& pool);
  ~Bridge() override;

  /// Adds a port whose frames are of `pool`, which `memory` may own. Errors: kExhausted.
  base::Result<void> add(std::unique_ptr<port::Port> port, mem::FramePool& pool,
                         std::shared_ptr<void> memory, const MemberOptions& options);
  /// Closes the port. False: there is none of that name.
  bool remove(std::string_view name);
  /// Looks whether members went away (their descriptor tells), and closes those. Their names.
  std::vector<std::string> remove_gone();
  std::size_t size() const;
  /// One line per member: name, frames in and out, why frames were lost.
  std::vector<std::string> describe() const;
  const Counters& counts() const { return counts_; }
  /// A member has no descriptor to wait on, so the bridge must be polled.
  bool must_be_polled() const;

  std::string_view name() const override { return "bridge"; }
  const port::Caps& caps() const override { return caps_; }
  std::size_t rx_burst(std::span<mem::FrameDesc> out) override;
  std::size_t tx_burst(std::span<const mem::FrameDesc> packets) override;
  std::size_t reclaim() override;
  base::Result<int> arm() override;
  void advance(base::Instant now) override;
  base::Instant next_deadline() const override;

 private:
  struct Member {
    std::unique_ptr<port::Port> port;
    std::shared_ptr<void> memory;
    mem::FramePool* pool;
    MemberOptions options;
    StormLimit storm;
    std::vector<mem::FrameDesc> pending;  ///< not taken by the port yet
    int descriptor = -1;                  ///< as watched by epoll; -1: it has none
    bool chained = false;                 ///< within a packet of several frames
  };
  /// A frame whose Ethernet header is understood.
  struct Framed {
    std::span<std::byte> bytes;
    mem::FrameDesc desc;
    base::MacAddress dst;
    base::MacAddress src;
    mem::FramePool* pool = nullptr;  ///< of `desc`
    std::uint16_t vlan = 0;
    bool tagged = false;
  };

  // --- bridge.cpp
  void update_caps();
  void flush(Member& member);
  // --- forward.cpp
  void receive_from(std::uint8_t index, std::span<mem::FrameDesc> out, std::size_t& n);
  /// True if `for_hosts` is now theirs.
  bool input(std::uint8_t index, const mem::FrameDesc& desc, mem::FrameDesc& for_hosts);
  std::optional<Framed> frame_of(mem::FramePool& pool, const mem::FrameDesc& desc);
  bool classify(Member& member, Framed& frame);
  bool to_hosts(const Framed& frame, mem::FrameDesc& out);
  void flood(const Framed& frame, std::uint8_t except);
  Member* only_member() const;
  enum class Sent : std::uint8_t { kTaken, kCopied, kLater };
  Sent from_hosts(const mem::FrameDesc& desc);
  bool claim(Member& member, std::uint32_t length, mem::FrameDesc& desc);
  bool send(Member& member, const Framed& frame);
  void send_pieces(Member& member, const Framed& frame);
  bool can_pass_on(const Member& member, const Framed& frame) const;
  bool is_ours(const base::MacAddress& mac) const;

  mem::FramePool& pool_;
  base::UniqueFd epoll_;
  port::Caps caps_;
  Counters counts_;
  LearningTable table_;
  base::Instant now_{};
  std::array<std::unique_ptr<Member>, kMostMembers> members_;
  std::uint8_t next_ = 0;  ///< who is asked first
  std::vector<std::byte> scratch_;
};

}  // namespace ringway::bridge
