#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "base/address.h"
#include "base/bytes.h"
#include "wire/protocol.h"

namespace ringway::wire {

/// An IPv6 header (RFC 8200, 3).
struct Ipv6Header {
  static constexpr std::size_t kSize = 40;

  base::IpAddress src;
  base::IpAddress dst;
  std::uint32_t flow_label = 0;      // 20 bits
  std::uint16_t payload_length = 0;  // all that follows this header, extension headers included
  std::uint8_t traffic_class = 0;
  std::uint8_t hop_limit = 64;
  Protocol next_header = Protocol::kTcp;

  /// payload_length is compared with what was received by the caller, as for Ipv4Header.
  static std::optional<Ipv6Header> parse(std::span<const std::byte> bytes) {
    if (bytes.size() < kSize) return std::nullopt;
    const std::byte* p = bytes.data();
    const std::uint32_t first = base::load_be32(p);
    if (first >> 28 != 6) return std::nullopt;
    Ipv6Header h;
    h.traffic_class = static_cast<std::uint8_t>(first >> 20);
    h.flow_label = first & 0xfffff;
    h.payload_length = base::load_be16(p + 4);
    h.next_header = static_cast<Protocol>(base::load_u8(p + 6));
    h.hop_limit = base::load_u8(p + 7);
    h.src = base::IpAddress::from_v6_bytes(p + 8);
    h.dst = base::IpAddress::from_v6_bytes(p + 24);
    return h;
  }
  /// Writes kSize bytes.
  void emit(std::byte* out) const {
    base::store_be32(out, 0x60000000U | static_cast<std::uint32_t>(traffic_class) << 20 |
                              (flow_label & 0xfffff));
    base::store_be16(out + 4, payload_length);
    base::store_u8(out + 6, static_cast<std::uint8_t>(next_header));
    base::store_u8(out + 7, hop_limit);
    std::memcpy(out + 8, src.bytes.data(), 16);
    std::memcpy(out + 24, dst.bytes.data(), 16);
  }
};

/// The fragment extension header (RFC 8200, 4.5).
struct Ipv6FragmentHeader {
  static constexpr std::size_t kSize = 8;

  Protocol next_header = Protocol::kTcp;
  std::uint16_t offset = 0;  // bytes, a multiple of 8
  bool more = false;
  std::uint32_t id = 0;

  static std::optional<Ipv6FragmentHeader> parse(std::span<const std::byte> bytes) {
    if (bytes.size() < kSize) return std::nullopt;
    const std::uint16_t word = base::load_be16(bytes.data() + 2);
    return Ipv6FragmentHeader{static_cast<Protocol>(base::load_u8(bytes.data())),
                              static_cast<std::uint16_t>(word & 0xfff8), (word & 1) != 0,
                              base::load_be32(bytes.data() + 4)};
  }
  void emit(std::byte* out) const {
    base::store_u8(out, static_cast<std::uint8_t>(next_header));
    base::store_u8(out + 1, 0);
    base::store_be16(out + 2, static_cast<std::uint16_t>((offset & 0xfff8) | (more ? 1 : 0)));
    base::store_be32(out + 4, id);
  }
};

/// How a walk over extension headers ended.
enum class Ipv6WalkEnd : std::uint8_t {
  kUpperLayer,  // at a protocol that is no extension header
  kFragment,    // behind a fragment header of a packet that is not whole
  kTruncated,   // a header goes beyond the packet
  kTooMany,     // more than kMaxIpv6Extensions
  kMisplaced,   // hop-by-hop options that are not first (RFC 8200, 4.1): parameter problem, code 1
  kBadOption,   // an option that says "discard silently" (RFC 8200, 4.2)
  kBadOptionReport,         // an option that says "discard and report": parameter problem, code 2
  kBadOptionReportUnicast,  // as before, but not if the destination is multicast
  kBadRouting,  // segments left in a routing header we do not know (RFC 8200, 4.4; RFC 5095): code
                // 0
};

constexpr int kMaxIpv6Extensions = 8;

struct Ipv6Walk {
  Ipv6WalkEnd end = Ipv6WalkEnd::kUpperLayer;
  bool has_fragment = false;            // `fragment` is valid, even if the packet is whole
  Protocol protocol = Protocol::kTcp;   // what starts at `offset`
  std::uint32_t offset = 0;             // from the start of the IPv6 header
  std::uint32_t next_header_at = 0;     // where the byte naming `protocol` is
  std::uint32_t fragment_at = 0;        // offset of the fragment header
  std::uint32_t fragment_named_at = 0;  // the byte naming it, which reassembly rewrites
  std::uint32_t problem_at = 0;         // for a parameter problem: its pointer
  Ipv6FragmentHeader fragment;
};

/// Walks the extension headers of a packet. `packet` starts at the IPv6 header and ends where the
/// packet or its first frame does.
Ipv6Walk walk_ipv6(std::span<const std::byte> packet, Protocol first);

/// True if walk_ipv6 would have something to do.
constexpr bool is_ipv6_extension(Protocol p) {
  return p == Protocol::kHopByHop || p == Protocol::kRouting || p == Protocol::kFragment ||
         p == Protocol::kDestinationOptions || p == Protocol::kAuthentication;
}

}  // namespace ringway::wire
