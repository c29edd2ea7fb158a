#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/address.h"
#include "base/bytes.h"
#include "base/seqnum.h"
#include "wire/checksum.h"
#include "wire/protocol.h"

namespace ringway::wire {

/// The control bits of a TCP header (RFC 9293, 3.1; RFC 3168, 6.1).
struct TcpFlags {
  static constexpr std::uint8_t kFin = 0x01, kSyn = 0x02, kRst = 0x04, kPsh = 0x08, kAck = 0x10,
                                kUrg = 0x20, kEce = 0x40, kCwr = 0x80;
  std::uint8_t bits = 0;

  constexpr bool fin() const { return (bits & kFin) != 0; }
  constexpr bool syn() const { return (bits & kSyn) != 0; }
  constexpr bool rst() const { return (bits & kRst) != 0; }
  constexpr bool psh() const { return (bits & kPsh) != 0; }
  constexpr bool ack() const { return (bits & kAck) != 0; }
  constexpr bool urg() const { return (bits & kUrg) != 0; }
  constexpr bool ece() const { return (bits & kEce) != 0; }
  constexpr bool cwr() const { return (bits & kCwr) != 0; }
  constexpr bool operator==(const TcpFlags&) const = default;
};

struct SackBlock {
  base::SeqNum left;   // first sequence number of the block
  base::SeqNum right;  // the one after its last
  constexpr bool operator==(const SackBlock&) const = default;
};

/// The options of a segment. A field counts only if its has_ flag is set.
struct TcpOptions {
  static constexpr std::size_t kMaxSize = 40;
  static constexpr std::size_t kMaxSackBlocks = 4;
  static constexpr std::size_t kTimestampsSize = 12;  // with its two NOPs

  bool has_mss = false;
  bool has_window_scale = false;
  bool has_timestamps = false;
  bool sack_permitted = false;
  std::uint16_t mss = 0;
  std::uint8_t window_scale = 0;  // at most 14 (RFC 7323, 2.3)
  std::uint8_t sack_count = 0;
  std::uint32_t timestamp_value = 0;
  std::uint32_t timestamp_echo = 0;
  std::array<SackBlock, kMaxSackBlocks> sack{};

  /// Any options, one by one. Unknown ones and known ones of a wrong length are skipped;
  /// nullopt if a length is 0, 1 or beyond the end (RFC 9293, 3.1, MUST-7).
  static std::optional<TcpOptions> parse(std::span<const std::byte> bytes);

  /// A multiple of 4. At most kMaxSize, if sack_count is at most max_sack_blocks().
  constexpr std::size_t size() const {
    return (has_mss ? 4U : 0U) + (has_window_scale ? 4U : 0U) +
           (has_timestamps   ? kTimestampsSize
            : sack_permitted ? 4U
                             : 0U) +
           (sack_count != 0 ? 4U + 8U * sack_count : 0U);
  }
  /// How many blocks fit beside the other options.
  constexpr std::size_t max_sack_blocks() const { return has_timestamps ? 3 : kMaxSackBlocks; }

  /// Writes size() bytes.
  void emit(std::byte* out) const {
    // Nearly every segment has timestamps alone, or nothing (RFC 7323, appendix A).
    if (size() == 0) return;
    if (has_timestamps && size() == kTimestampsSize && !sack_permitted) {
      base::store_be32(out, kTimestampsWord);
      base::store_be32(out + 4, timestamp_value);
      base::store_be32(out + 8, timestamp_echo);
      return;
    }
    emit_all(out);
  }

  /// NOP, NOP, kind 8, length 10.
  static constexpr std::uint32_t kTimestampsWord = 0x0101080a;

 private:
  void emit_all(std::byte* out) const;
};

/// A TCP header with its options (RFC 9293, 3.1).
struct TcpHeader {
  static constexpr std::size_t kSize = 20;
  static constexpr std::size_t kMaxSize = 60;
  static constexpr std::size_t kChecksumOffset = 16;

  std::uint16_t src_port = 0;
  std::uint16_t dst_port = 0;
  base::SeqNum seq;
  base::SeqNum ack;
  std::uint16_t window = 0;  // as on the wire, not scaled
  std::uint16_t urgent = 0;
  std::uint8_t header_length = kSize;  // set by parse; emit computes it
  TcpFlags flags;
  TcpOptions options;

  constexpr std::size_t emitted_size() const { return kSize + options.size(); }

  /// `bytes` starts at the TCP header and holds at least all of it. The checksum is not looked at.
  static std::optional<TcpHeader> parse(std::span<const std::byte> bytes) {
    if (bytes.size() < kSize) return std::nullopt;
    const std::byte* p = bytes.data();
    TcpHeader h;
    h.src_port = base::load_be16(p);
    h.dst_port = base::load_be16(p + 2);
    h.seq = {base::load_be32(p + 4)};
    h.ack = {base::load_be32(p + 8)};
    h.header_length = static_cast<std::uint8_t>((base::load_u8(p + 12) >> 4) * 4);
    h.flags = {base::load_u8(p + 13)};
    h.window = base::load_be16(p + 14);
    h.urgent = base::load_be16(p + 18);
    if (h.header_length == kSize) return h;
    if (h.header_length < kSize || h.header_length > bytes.size()) return std::nullopt;
    if (h.header_length == kSize + TcpOptions::kTimestampsSize &&
        base::load_be32(p + kSize) == TcpOptions::kTimestampsWord) {
      h.options.has_timestamps = true;
      h.options.timestamp_value = base::load_be32(p + kSize + 4);
      h.options.timestamp_echo = base::load_be32(p + kSize + 8);
      return h;
    }
    const auto options = TcpOptions::parse(bytes.subspan(kSize, h.header_length - kSize));
    if (!options) return std::nullopt;
    h.options = *options;
    return h;
  }

  /// Writes emitted_size() bytes with a checksum of 0: see finish_tcp().
  void emit(std::byte* out) const {
    base::store_be16(out, src_port);
    base::store_be16(out + 2, dst_port);
    base::store_be32(out + 4, seq.value);
    base::store_be32(out + 8, ack.value);
    base::store_u8(out + 12, static_cast<std::uint8_t>(emitted_size() / 4 << 4));
    base::store_u8(out + 13, flags.bits);
    base::store_be16(out + 14, window);
    base::store_be16(out + 16, 0);
    base::store_be16(out + 18, urgent);
    options.emit(out + kSize);
  }
};

/// Fills in the checksum of the segment at `segment` (header and payload, contiguous).
inline void finish_tcp(std::span<std::byte> segment, const base::IpAddress& src,
                       const base::IpAddress& dst) {
  base::store_be16(segment.data() + TcpHeader::kChecksumOffset, 0);
  Checksum sum = pseudo_header(src, dst, static_cast<std::uint8_t>(Protocol::kTcp),
                               static_cast<std::uint32_t>(segment.size()));
  sum.add(segment);
  base::store_be16(segment.data() + TcpHeader::kChecksumOffset, sum.finish());
}

}  // namespace ringway::wire
