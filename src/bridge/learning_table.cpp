#include "bridge/learning_table.h"

#include "base/random.h"

namespace ringway::bridge {

std::uint64_t LearningTable::key_of(const base::MacAddress& mac, std::uint16_t vlan) {
  std::uint64_t key = std::uint64_t{vlan} << 48;
  for (std::size_t i = 0; i < mac.bytes.size(); ++i) {
    key |= std::uint64_t{mac.bytes[i]} << (8 * (5 - i));
  }
  return key;
}

std::size_t LearningTable::set_of(std::uint64_t key) { return base::Random::mix(key) % kSets; }

void LearningTable::learn(const base::MacAddress& mac, std::uint16_t vlan, std::uint8_t member,
                          base::Instant now) {
  const std::uint64_t key = key_of(mac, vlan);
  if (mac.is_multicast() || (key << 16) == 0) return;
  Set& set = (*sets_)[set_of(key)];
  Entry* oldest = &set[0];
  for (Entry& entry : set) {
    if (entry.key == key) {
      entry.seen = now;
      entry.member = member;
      return;
    }
    if (entry.key == 0 ? oldest->key != 0 : oldest->key != 0 && entry.seen < oldest->seen) {
      oldest = &entry;
    }
  }
  *oldest = {key, now, member};
}

std::uint8_t LearningTable::find(const base::MacAddress& mac, std::uint16_t vlan,
                                 base::Instant now) const {
  const std::uint64_t key = key_of(mac, vlan);
  for (const Entry& entry : (*sets_)[set_of(key)]) {
    if (entry.key == key) return now - entry.seen < kAge ? entry.member : kNone;
  }
  return kNone;
}

void LearningTable::forget(std::uint8_t member) {
  for (Set& set : *sets_) {
    for (Entry& entry : set) {
      if (entry.member == member) entry = {};
    }
  }
}

}  // namespace ringway::bridge
