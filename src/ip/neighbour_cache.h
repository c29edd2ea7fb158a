#pragma once

#include <array>
#include <cstdint>

#include "base/address.h"
#include "base/random.h"
#include "base/time.h"
#include "mem/slab.h"

namespace ringway::ip {

/// RFC 4861, 7.3.2. ARP entries live by the same states.
enum class NeighbourState : std::uint8_t {
  kNone,
  kIncomplete,  ///< asked, no answer yet
  kReachable,   ///< known to answer
  kStale,       ///< known, but not lately
  kDelay,       ///< stale and in use: waits for a hint of an upper layer before it asks
  kProbe,       ///< asked again, by unicast
};

/// A packet that waits for its neighbour: a frame of the arena's pool with a complete Ethernet
/// frame but for the destination MAC.
struct PendingFrame {
  std::uint32_t slot_plus_1;
  std::uint16_t offset;
  std::uint16_t length;
};

/// One neighbour. Plain data.
struct Neighbour {
  static constexpr std::uint32_t kMaxPending = 4;

  base::IpAddress address;
  base::Instant deadline;  ///< when something is to be done about it; never: nothing
  std::uint32_t hash_next;
  std::uint32_t older;  ///< least recently used list
  std::uint32_t newer;
  base::MacAddress mac;
  NeighbourState state;
  std::uint8_t interface;
  std::uint8_t probes;
  std::uint8_t pending_count;
  bool is_router;
  std::array<PendingFrame, kMaxPending> pending;

  /// True if `mac` can be sent to.
  bool usable() const { return state >= NeighbourState::kReachable; }
};

/// The neighbours of one stack: a bounded hash table that forgets the least recently used one.
/// Pure state: it decides, but sends nothing. All zero is empty.
class NeighbourCache {
 public:
  static constexpr std::uint32_t kCapacity = 512;
  static constexpr base::Duration kReachableTime = base::Duration::seconds(30);
  static constexpr base::Duration kDelayTime = base::Duration::seconds(5);
  static constexpr base::Duration kRetransmit = base::Duration::seconds(1);
  static constexpr std::uint8_t kMaxSolicit = 3;  // RFC 4861, 10: multicast and unicast alike

  /// The neighbour that had to go, so that its pending frames can be freed.
  struct Evicted {
    bool happened = false;
    Neighbour neighbour{};
  };

  std::uint32_t find(std::uint8_t interface, const base::IpAddress& address) const;
  /// Makes an entry; the least recently used one may have to go: see `evicted`. Never fails.
  std::uint32_t create(std::uint8_t interface, const base::IpAddress& address, Evicted& evicted);
  void remove(std::uint32_t index);
  /// Marks as used just now: it goes last.
  void touch(std::uint32_t index);

  Neighbour& operator[](std::uint32_t index) { return slab_[index]; }
  const Neighbour& operator[](std::uint32_t index) const { return slab_[index]; }
  std::uint32_t size() const { return slab_.in_use(); }

  void set(std::uint32_t index, NeighbourState state, base::Instant deadline) {
    slab_[index].state = state;
    slab_[index].deadline = deadline;
    if (deadline < earliest()) earliest_plus_1_ = deadline.ns + 1;
  }
  /// No deadline is before this. It may be early, never late.
  base::Instant earliest() const {
    return earliest_plus_1_ == 0 ? base::Instant::never() : base::Instant{earliest_plus_1_ - 1};
  }
  /// Calls due(index) for each entry whose deadline has come; due may set or remove that entry.
  template <typename Due>
  void run_due(base::Instant now, Due&& due) {
    if (now < earliest()) return;
    for (std::uint32_t i = oldest_; i != 0;) {
      const std::uint32_t next = slab_[i].newer;
      if (slab_[i].deadline <= now) due(i);
      i = next;
    }
    find_earliest();
  }

 private:
  static constexpr std::uint32_t kBuckets = 512;

  static std::uint32_t bucket(std::uint8_t interface, const base::IpAddress& a) {
    const std::uint64_t h = base::Random::mix(a.high() ^ base::Random::mix(a.low() + interface));
    return static_cast<std::uint32_t>(h % kBuckets);
  }
  void unlink_lru(std::uint32_t index);
  void link_newest(std::uint32_t index);
  void find_earliest();

  std::int64_t earliest_plus_1_;
  std::uint32_t oldest_;
  std::uint32_t newest_;
  std::array<std::uint32_t, kBuckets> buckets_;
  mem::Slab<Neighbour, kCapacity + 1> slab_;
};

}  // namespace ringway::ip
