#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/address.h"
#include "base/time.h"

namespace ringway::bridge {

/// Behind which member of a bridge a station of a VLAN is. Bounded: a station that is new takes the
/// place of the oldest of its set, and is flooded to until then (IEEE 802.1Q, 8.7 and 8.8).
class LearningTable {
 public:
  static constexpr std::uint32_t kSets = 1024;
  static constexpr std::uint32_t kWays = 8;
  static constexpr std::uint8_t kNone = 0xff;
  /// IEEE 802.1Q, table 8-7: the recommended ageing time.
  static constexpr base::Duration kAge = base::Duration::seconds(300);

  LearningTable() : sets_(std::make_unique<Sets>()) {}

  /// The station was seen behind `member`. Group addresses are no stations and are left out.
  void learn(const base::MacAddress& mac, std::uint16_t vlan, std::uint8_t member,
             base::Instant now);
  /// kNone: not known, or not seen for kAge.
  std::uint8_t find(const base::MacAddress& mac, std::uint16_t vlan, base::Instant now) const;
  /// The member is gone, and with it what was behind it.
  void forget(std::uint8_t member);

 private:
  struct Entry {
    std::uint64_t key = 0;  ///< VLAN and address; 0: free
    base::Instant seen{};
    std::uint8_t member = kNone;
  };
  using Set = std::array<Entry, kWays>;
  using Sets = std::array<Set, kSets>;

  static std::uint64_t key_of(const base::MacAddress& mac, std::uint16_t vlan);
  static std::size_t set_of(std::uint64_t key);

  std::unique_ptr<Sets> sets_;
};

}  // namespace ringway::bridge
