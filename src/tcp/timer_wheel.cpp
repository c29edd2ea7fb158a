#include "tcp/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace ringway::tcp {
namespace {

/// Rounded up: a node must not come up before it is due, or it would come up again and again.
std::uint64_t tick_of(base::Instant at) {
  if (at.ns <= 0) return 0;
  return (static_cast<std::uint64_t>(at.ns) + (TimerWheel::kTickNs - 1)) / TimerWheel::kTickNs;
}

}  // namespace

void TimerWheel::link(ConnectionSlab& connections, std::uint32_t index, base::Instant at) {
  connections[index].armed_at = at;
  ++size_;
  insert_at(connections, index, tick_of(at));
}

void TimerWheel::insert_at(ConnectionSlab& connections, std::uint32_t index, std::uint64_t tick) {
  // With a span that ends, nodes beyond its end would come up there, again and again.
  static_assert((std::uint64_t{1} << (kLevels * kSlotBits)) > INT64_MAX / kTickNs);
  tick = std::max(tick, tick_);
  const std::uint64_t differing = (tick ^ tick_) | (kSlots - 1);
  const auto level = static_cast<std::uint32_t>(std::bit_width(differing) - 1) / kSlotBits;
  const auto slot =
      level * kSlots + static_cast<std::uint32_t>(tick >> (level * kSlotBits)) % kSlots;
  Connection& c = connections[index];
  c.timer_slot = static_cast<std::uint16_t>(slot);
  c.timer_prev = 0;
  c.timer_next = heads_[slot];
  if (c.timer_next != 0) connections[c.timer_next].timer_prev = index;
  heads_[slot] = index;
  occupied_[level] |= std::uint64_t{1} << (slot % kSlots);
}

void TimerWheel::unlink(ConnectionSlab& connections, std::uint32_t index) {
  Connection& c = connections[index];
  if (c.timer_next != 0) connections[c.timer_next].timer_prev = c.timer_prev;
  if (c.timer_prev != 0) {
    connections[c.timer_prev].timer_next = c.timer_next;
  } else {
    heads_[c.timer_slot] = c.timer_next;
    if (c.timer_next == 0) {
      occupied_[c.timer_slot / kSlots] &= ~(std::uint64_t{1} << (c.timer_slot % kSlots));
    }
  }
  c.armed_at = base::Instant::never();
  --size_;
}

bool TimerWheel::next_occupied(std::uint64_t& tick, std::uint32_t& level) const {
  // All nodes of a level share their higher digits with tick_, so the lowest slot is the next.
  for (level = 0; level < kLevels; ++level) {
    if (occupied_[level] == 0) continue;
    const auto slot = static_cast<std::uint64_t>(std::countr_zero(occupied_[level]));
    const std::uint32_t shift = level * kSlotBits;
    tick = (tick_ >> (shift + kSlotBits) << kSlotBits | slot) << shift;
    return true;
  }
  return false;
}

void TimerWheel::cascade(ConnectionSlab& connections, std::uint32_t slot) {
  std::uint32_t index = heads_[slot];
  heads_[slot] = 0;
  occupied_[slot / kSlots] &= ~(std::uint64_t{1} << (slot % kSlots));
  while (index != 0) {
    const std::uint32_t next = connections[index].timer_next;
    insert_at(connections, index, tick_of(connections[index].armed_at));
    index = next;
  }
}

std::uint32_t TimerWheel::expire(ConnectionSlab& connections, base::Instant now) {
  const std::uint64_t now_tick = static_cast<std::uint64_t>(std::max<std::int64_t>(now.ns, 0)) /
                                 static_cast<std::uint64_t>(kTickNs);
  std::uint64_t tick = 0;
  std::uint32_t level = 0;
  while (next_occupied(tick, level) && tick <= now_tick) {
    tick_ = std::max(tick_, tick);
    const auto slot =
        level * kSlots + static_cast<std::uint32_t>(tick >> (level * kSlotBits)) % kSlots;
    if (level == 0) {
      const std::uint32_t index = heads_[slot];
      unlink(connections, index);
      return index;
    }
    cascade(connections, slot);
  }
  tick_ = std::max(tick_, now_tick);
  return 0;
}

base::Instant TimerWheel::next_deadline() const {
  std::uint64_t tick = 0;
  std::uint32_t level = 0;
  if (!next_occupied(tick, level)) return base::Instant::never();
  return {static_cast<std::int64_t>(tick) * kTickNs};
}

}  // namespace ringway::tcp
