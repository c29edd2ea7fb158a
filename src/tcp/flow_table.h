#pragma once

#include <array>
#include <cstdint>

#include "base/address.h"
#include "base/random.h"
#include "tcp/connection.h"

namespace ringway::tcp {

/// Hash of a flow, the same seen from both ends: both ends of a link and all its stacks agree on
/// it.
inline std::uint32_t flow_hash(const base::IpAddress& local, std::uint16_t local_port,
                               const base::IpAddress& remote, std::uint16_t remote_port) {
  const auto end = [](const base::IpAddress& a, std::uint16_t port) {
    return (a.low() ^ a.high() * 0x9e3779b97f4a7c15U) + port * 0x9e3779b97f4a7c15U;
  };
  const std::uint64_t a = end(local, local_port);
  const std::uint64_t b = end(remote, remote_port);
  const std::uint64_t mixed = (a + b) * 0xbf58476d1ce4e5b9U ^ (a ^ b) * 0x94d049bb133111ebU;
  const auto hash = static_cast<std::uint32_t>(mixed >> 32 ^ mixed);
  return hash != 0 ? hash : 1;  // 0 means "unknown" in a FrameDesc
}

/// Connections by their two endpoints: open addressing with linear probing, at most half full.
/// An entry carries the hash, so a probe that goes astray does not touch a connection. Removal
/// moves later entries back, so there are no tombstones. All zero is empty.
class FlowTable {
 public:
  static constexpr std::uint32_t kBuckets = 2 * kMaxConnections;

  void insert(std::uint32_t hash, std::uint32_t index) {
    std::uint32_t at = home(hash);
    while (entries_[at].index != 0) at = (at + 1) % kBuckets;
    entries_[at] = {hash, index};
  }

  void remove(std::uint32_t hash, std::uint32_t index) {
    std::uint32_t hole = home(hash);
    while (entries_[hole].index != index) {
      if (entries_[hole].index == 0) return;
      hole = (hole + 1) % kBuckets;
    }
    for (std::uint32_t at = (hole + 1) % kBuckets; entries_[at].index != 0;
         at = (at + 1) % kBuckets) {
      // An entry may move back to the hole unless its home lies cyclically behind the hole.
      const std::uint32_t distance = (at - home(entries_[at].hash)) % kBuckets;
      if (distance >= (at - hole) % kBuckets) {
        entries_[hole] = entries_[at];
        hole = at;
      }
    }
    entries_[hole] = {};
  }

  /// The first entry with this hash for which `same(index)` holds; 0: none.
  template <typename Same>
  std::uint32_t find(std::uint32_t hash, Same same) const {
    for (std::uint32_t at = home(hash); entries_[at].index != 0; at = (at + 1) % kBuckets) {
      if (entries_[at].hash == hash && same(entries_[at].index)) return entries_[at].index;
    }
    return 0;
  }

 private:
  struct Entry {
    std::uint32_t hash;
    std::uint32_t index;
  };
  static_assert((kBuckets & (kBuckets - 1)) == 0);
  static constexpr std::uint32_t home(std::uint32_t hash) { return hash % kBuckets; }

  std::array<Entry, kBuckets> entries_;
};

}  // namespace ringway::tcp
