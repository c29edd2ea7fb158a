#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/address.h"
#include "base/bytes.h"
#include "wire/checksum.h"
#include "wire/protocol.h"

namespace ringway::wire {

/// ICMP message types (RFC 792).
enum class IcmpType : std::uint8_t {
  kEchoReply = 0,
  kUnreachable = 3,
  kRedirect = 5,
  kEchoRequest = 8,
  kTimeExceeded = 11,
  kParameterProblem = 12,
};

/// ICMPv6 message types (RFC 4443, RFC 4861, RFC 2710, RFC 3810).
enum class Icmpv6Type : std::uint8_t {
  kUnreachable = 1,
  kPacketTooBig = 2,
  kTimeExceeded = 3,
  kParameterProblem = 4,
  kEchoRequest = 128,
  kEchoReply = 129,
  kListenerQuery = 130,
  kListenerReport = 131,
  kListenerDone = 132,
  kRouterSolicitation = 133,
  kRouterAdvertisement = 134,
  kNeighborSolicitation = 135,
  kNeighborAdvertisement = 136,
  kRedirect = 137,
  kListenerReportV2 = 143,
};

/// Codes of "destination unreachable" (RFC 792, RFC 1812 5.2.7.1; RFC 4443, 3.1).
struct UnreachableCode {
  static constexpr std::uint8_t kNet = 0, kHost = 1, kProtocol = 2, kPort = 3,
                                kFragmentationNeeded = 4, kAdminProhibited = 13;
  static constexpr std::uint8_t kV6NoRoute = 0, kV6AdminProhibited = 1, kV6Address = 3, kV6Port = 4;
};

/// The eight bytes that every ICMP and ICMPv6 message begins with (RFC 792; RFC 4443, 2.1).
/// `rest` is what the type makes of it: id and sequence, MTU, pointer.
struct IcmpHeader {
  static constexpr std::size_t kSize = 8;

  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint32_t rest = 0;

  std::uint16_t echo_id() const { return static_cast<std::uint16_t>(rest >> 16); }
  std::uint16_t echo_seq() const { return static_cast<std::uint16_t>(rest); }
  static constexpr std::uint32_t echo_rest(std::uint16_t id, std::uint16_t seq) {
    return static_cast<std::uint32_t>(id) << 16 | seq;
  }

  /// The checksum is not looked at.
  static std::optional<IcmpHeader> parse(std::span<const std::byte> bytes) {
    if (bytes.size() < kSize) return std::nullopt;
    return IcmpHeader{base::load_u8(bytes.data()), base::load_u8(&bytes[1]),
                      base::load_be32(&bytes[4])};
  }
  /// Writes kSize bytes with a checksum of 0: see finish_icmp() and finish_icmpv6().
  void emit(std::byte* out) const {
    base::store_u8(out, type);
    base::store_u8(out + 1, code);
    base::store_be16(out + 2, 0);
    base::store_be32(out + 4, rest);
  }
};

/// Fills in the checksum of a whole ICMP message (RFC 792: no pseudo header).
inline void finish_icmp(std::span<std::byte> message) {
  base::store_be16(&message[2], 0);
  base::store_be16(&message[2], internet_checksum(message));
}

/// Fills in the checksum of a whole ICMPv6 message (RFC 4443, 2.3).
inline void finish_icmpv6(std::span<std::byte> message, const base::IpAddress& src,
                          const base::IpAddress& dst) {
  base::store_be16(&message[2], 0);
  Checksum sum = pseudo_header(src, dst, static_cast<std::uint8_t>(Protocol::kIcmpv6),
                               static_cast<std::uint32_t>(message.size()));
  sum.add(message);
  base::store_be16(&message[2], sum.finish());
}

/// What an ICMP error tells of the packet that caused it: the packet that we sent, so `src` is
/// ours. Only its first bytes are there; at least eight of the upper layer (RFC 792, RFC 4443 2.4
/// (c)).
struct QuotedPacket {
  base::IpAddress src;
  base::IpAddress dst;
  Protocol protocol = Protocol::kTcp;
  std::uint16_t src_port = 0;  // TCP, UDP; of an echo request: its id
  std::uint16_t dst_port = 0;
  std::uint32_t tcp_seq = 0;
  std::uint16_t total_length = 0;  // of the packet as sent

  /// `quoted` is the body of the error behind its IcmpHeader. nullopt: too short, no IP packet, or
  /// no first fragment.
  static std::optional<QuotedPacket> parse(std::span<const std::byte> quoted);
};

}  // namespace ringway::wire
