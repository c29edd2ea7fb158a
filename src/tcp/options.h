#pragma once

#include <cstdint>

namespace ringway::tcp {

/// Names of the congestion control algorithms, in the order of the table in congestion.cpp.
enum class Congestion : std::uint8_t { kCubic, kReno, kCount };

/// What a user may set on a connection or listener; a listener's are inherited by what it accepts.
/// Plain data: lives in arenas.
struct Options {
  std::uint32_t receive_buffer_bytes = kDefaultBuffer;
  std::uint32_t send_buffer_bytes = kDefaultBuffer;
  std::uint32_t user_timeout_ms = 0;  ///< RFC 5482; 0: by count of retransmissions
  std::uint16_t keepalive_idle_s = 7200;
  std::uint16_t keepalive_interval_s = 75;
  std::uint8_t keepalive_count = 9;
  bool keepalive = false;
  bool no_delay = false;  ///< no Nagle
  bool cork = false;      ///< only full segments, at most 200 ms
  bool linger = false;    ///< close() waits in the front end, or resets if linger_s is 0
  Congestion congestion = Congestion::kCubic;
  std::uint16_t linger_s = 0;

  static constexpr std::uint32_t kDefaultBuffer = 512 * 1024;
  static constexpr std::uint32_t kMinBuffer = 2048;
  static constexpr std::uint32_t kMaxBuffer = 64 * 1024 * 1024;

  bool operator==(const Options&) const = default;
};
static_assert(sizeof(Options) == 24);

}  // namespace ringway::tcp
