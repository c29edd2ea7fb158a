#pragma once

#include <array>
#include <cstdint>

#include "base/time.h"
#include "tcp/connection.h"

namespace ringway::tcp {

/// When connections want to be looked at: a hierarchical timer wheel (Varghese and Lauck 1987) of
/// 1 ms ticks, linked through the connections. All zero is an empty wheel at time 0.
///
/// The node of a connection is moved only to an *earlier* place. A deadline that moves later is
/// left where it is; when the node comes up early it is put to where the deadline is by then. So
/// the usual "an ACK came, restart the timer" costs one store.
class TimerWheel {
 public:
  static constexpr std::int64_t kTickNs = 1'000'000;

  /// Sees that `index` comes up at `at` or a bit earlier. never() is nothing to do.
  void arm(ConnectionSlab& connections, std::uint32_t index, base::Instant at) {
    Connection& c = connections[index];
    if (c.armed_at <= at) return;
    if (!c.armed_at.is_never()) unlink(connections, index);
    link(connections, index, at);
  }
  /// Takes the node out, for a connection that goes away.
  void disarm(ConnectionSlab& connections, std::uint32_t index) {
    if (!connections[index].armed_at.is_never()) unlink(connections, index);
  }
  /// The next connection whose node is due at `now`, taken out of the wheel; 0: none.
  std::uint32_t expire(ConnectionSlab& connections, base::Instant now);
  /// Not later than the earliest node; never() if there is none.
  base::Instant next_deadline() const;
  std::uint32_t size() const { return size_; }

 private:
  static constexpr std::uint32_t kLevels = 8;  // 64^8 ms: more than an Instant can say
  static constexpr std::uint32_t kSlotBits = 6;
  static constexpr std::uint32_t kSlots = 1U << kSlotBits;

  void link(ConnectionSlab& connections, std::uint32_t index, base::Instant at);
  void unlink(ConnectionSlab& connections, std::uint32_t index);
  void insert_at(ConnectionSlab& connections, std::uint32_t index, std::uint64_t tick);
  bool next_occupied(std::uint64_t& tick, std::uint32_t& level) const;
  void cascade(ConnectionSlab& connections, std::uint32_t slot);

  std::uint64_t tick_;  ///< all nodes lie at or after this tick
  std::array<std::uint64_t, kLevels> occupied_;
  std::array<std::uint32_t, kLevels * kSlots> heads_;
  std::uint32_t size_;
  std::uint32_t reserved_;
};

}  // namespace ringway::tcp
