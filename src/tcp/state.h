#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "tcp/connection.h"
#include "tcp/counters.h"
#include "tcp/flow_table.h"
#include "tcp/timer_wheel.h"

namespace ringway::tcp {

/// A first-in first-out list of connections, linked by index through one of their members.
struct IndexList {
  std::uint32_t head;
  std::uint32_t tail;
  bool empty() const { return head == 0; }
};

/// All state of TCP of one stack: plain data in its arena. All zero is valid and empty, but for
/// `secret`, which the stack draws once.
struct TcpState {
  static constexpr std::uint32_t kListenerHeads = 4096;

  std::array<std::uint64_t, 2> secret;  ///< for initial sequence numbers (RFC 6528)
  IndexList dirty;                      ///< connections with output due
  IndexList blocked;                    ///< connections whose port had no room or path
  IndexList events;                     ///< connections with news
  IndexList listener_events;
  std::uint32_t orphans;
  std::uint32_t time_wait;
  base::Instant challenge_second;  ///< RFC 5961, 7
  std::uint32_t challenges;        ///< sent since then
  std::uint32_t next_generation;
  Counters counters;
  std::array<std::uint32_t, kListenerHeads> listener_heads;  ///< by port
  TimerWheel wheel;
  ListenerSlab listeners;
  ConnectionSlab connections;
  FlowTable flows;
};
static_assert(std::is_trivially_copyable_v<TcpState> && std::is_standard_layout_v<TcpState>);

}  // namespace ringway::tcp
