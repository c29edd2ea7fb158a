#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/address.h"
#include "wire/checksum.h"
#include "wire/protocol.h"

namespace ringway::wire {

/// Why a frame is no packet: one counter each.
enum class ParseDrop : std::uint8_t {
  kNone,
  kEthernetTruncated,
  kVlanTruncated,
  kUnknownEtherType,
  kIpv4Header,     // version, header length or total length make no sense
  kIpv4Truncated,  // total length is beyond what was received
  kIpv4Checksum,
  kIpv4Fragment,  // a fragment that ends beyond 65535, or an inner one that is no multiple of 8
  kIpv6Header,
  kIpv6Truncated,
  kIpv6Extension,            // an extension header goes beyond the packet, or there are too many
  kIpv6HeaderOrder,          // answer: parameter problem, code 1, problem_at
  kIpv6Option,               // no answer
  kIpv6OptionReport,         // answer: parameter problem, code 2, problem_at
  kIpv6OptionReportUnicast,  // the same, but not to a multicast
  kIpv6Routing,              // answer: parameter problem, code 0, problem_at
  kIpv6Fragment,
  kTcpHeader,
  kTcpChecksum,
  kUdpHeader,  // the length field makes no sense
  kUdpChecksum,
  kIcmpHeader,
  kIcmpChecksum,
  kCount,
};

/// "ipv4_checksum": the counter's name.
std::string_view name(ParseDrop drop);

struct ParseOptions {
  /// The port vouches for the checksums (memory, or the device verified them): none is computed.
  bool checksums_trusted = false;
  /// Length of the whole packet if it goes on in further frames; 0: the frame is all.
  std::uint32_t packet_length = 0;
};

/// Where everything is in a frame. Offsets count from the frame's first byte.
///
///     0        l3_offset     l4_offset     payload_offset         end
///     | Ethernet | IP, extensions | TCP/UDP/ICMP header | payload | padding
///
/// `end` comes from the IP header, so padding of short frames is outside. It can lie beyond the
/// frame if the packet goes on in others. For a fragment nothing above IP is looked at:
/// payload_offset is l4_offset and the ports are 0. For ARP only l3_offset and end (of the frame)
/// count.
struct PacketView {
  base::IpAddress src;
  base::IpAddress dst;
  std::uint32_t end = 0;
  std::uint16_t l3_offset = 0;
  std::uint16_t l4_offset = 0;
  std::uint16_t payload_offset = 0;
  EtherType ether_type = EtherType::kIpv4;
  std::uint16_t vlan_id = 0;   // 0: no tag, or a priority tag
  std::uint16_t src_port = 0;  // TCP and UDP
  std::uint16_t dst_port = 0;
  Protocol protocol = Protocol::kTcp;
  std::uint8_t ttl = 0;  // or hop limit
  std::uint8_t traffic_class = 0;
  bool dont_fragment = false;  // always true for IPv6
  bool is_fragment = false;
  bool more_fragments = false;
  bool l4_checksum_ok = false;        // verified, trusted or (UDP over IPv4) absent
  std::uint16_t fragment_offset = 0;  // bytes
  std::uint32_t fragment_id = 0;
  std::uint16_t problem_at = 0;  // from l3_offset: the pointer of a parameter problem

  bool is_v4() const { return ether_type == EtherType::kIpv4; }
  bool is_ip() const { return ether_type == EtherType::kIpv4 || ether_type == EtherType::kIpv6; }
  std::uint32_t l3_length() const { return end - l3_offset; }
  std::uint32_t l4_length() const { return end - l4_offset; }
  std::uint32_t payload_length() const { return end - payload_offset; }

  /// What the upper layer's checksum starts with. Add all bytes of [l4_offset, end), from every
  /// frame of the packet; then it verifies() or not. For packets that l4_checksum_ok leaves open.
  Checksum l4_pseudo_header() const {
    if (protocol == Protocol::kIcmp) return {};
    return pseudo_header(src, dst, static_cast<std::uint8_t>(protocol), l4_length());
  }
};

/// Parses Ethernet, one optional VLAN tag, IP with its options or extension headers, and the fixed
/// part of TCP, UDP or ICMP, each length compared with what was received. All headers must be in
/// the first frame, which is `frame`. On a drop, `view` holds what was read until then.
ParseDrop parse_frame(std::span<const std::byte> frame, const ParseOptions& options,
                      PacketView& view);

/// The same for a frame whose IP header is at view.l3_offset, and whose view.ether_type says
/// kIpv4 or kIpv6: for ports without Ethernet and for reassembled packets.
ParseDrop parse_ip(std::span<const std::byte> frame, const ParseOptions& options, PacketView& view);

}  // namespace ringway::wire
