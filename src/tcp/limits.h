#pragma once

#include <cstdint>

#include "base/time.h"

namespace ringway::tcp {

// All limits of the protocol machine in one place, each with its source.

using base::Duration;

/// RFC 6298 (2.1).
constexpr Duration kInitialRto = Duration::seconds(1);
/// Deviation: RFC 6298 (2.4) says 1 s; 200 ms is what Linux and BSD use, and what users expect.
constexpr Duration kMinRto = Duration::milliseconds(200);
/// RFC 6298 (2.5) allows any maximum of at least 60 s.
constexpr Duration kMaxRto = Duration::seconds(60);
/// RFC 6298 (2.2): G, the granularity of the clock.
constexpr Duration kClockGranularity = Duration::milliseconds(1);
/// On a reliable path a SYN is lost only when the listener's queue was full.
constexpr Duration kReliableSynRetry = Duration::milliseconds(100);
/// RFC 9293, 3.8.3 (R2): SYN for about 2 minutes, data for over 10 (15 doublings, as Linux).
constexpr std::uint8_t kSynRetries = 6;
constexpr std::uint8_t kSynAckRetries = 5;
constexpr std::uint8_t kDataRetries = 15;
/// An orphan gets fewer, as nobody waits for it (Linux tcp_orphan_retries).
constexpr std::uint8_t kOrphanRetries = 8;
/// RFC 1122, 4.2.3.2 demands at most 500 ms; 40 ms as Linux.
constexpr Duration kDelayedAck = Duration::milliseconds(40);
/// Segments that are acknowledged at once when a stream starts, so that slow start is not slowed.
constexpr std::uint8_t kQuickAcks = 16;
/// Corked data waits this long (tcp(7)).
constexpr Duration kCorkTime = Duration::milliseconds(200);
/// RFC 9293, 3.4.2: 2 MSL. As Linux: MSL 30 s.
constexpr Duration kTimeWait = Duration::seconds(60);
/// An orphan waits this long for the peer's FIN (Linux tcp_fin_timeout).
constexpr Duration kFinWait2 = Duration::seconds(60);
/// RFC 7323, 5.5: a timestamp older than this proves nothing.
constexpr Duration kTimestampAge = Duration::seconds(24LL * 24 * 3600);
/// RFC 5681, 2; RFC 6675, 2 (DupThresh).
constexpr std::uint8_t kDuplicateAcks = 3;
/// RFC 5961, 7: challenge ACKs a second.
constexpr std::uint32_t kChallengesPerSecond = 100;
/// RFC 9293, 3.7.1: what to assume when the peer sends no MSS option.
constexpr std::uint16_t kDefaultMss4 = 536;
constexpr std::uint16_t kDefaultMss6 = 1220;
/// A peer or ICMP message cannot press the segment size below this (RFC 791: 68 bytes of IP).
constexpr std::uint16_t kMinMss = 48;
/// Payload of one frame on a reliable path, and of one TSO frame.
constexpr std::uint32_t kMaxReliablePayload = 32 * 1024;
constexpr std::uint32_t kMaxGsoPayload = 60 * 1024;
/// Connections in SYN-RECEIVED that a listener holds whatever its backlog.
constexpr std::uint32_t kMinHandshakes = 256;
/// Pieces that one connection's out-of-order queue may hold: for small ones, not the bytes are what
/// costs.
constexpr std::uint32_t max_out_of_order_cells(std::uint32_t receive_buffer) {
  return receive_buffer / 512 < 256 ? 256 : receive_buffer / 512;
}
/// Ranges of a scoreboard: what a frame of 4 KiB holds.
constexpr std::uint32_t kMaxSackRanges = 500;
/// Payload up to this size is copied rather than pinning the frame that it came in.
constexpr std::uint32_t kCopyBreak = 232;

}  // namespace ringway::tcp
