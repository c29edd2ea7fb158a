#include "wire/packet_view.h"

#include <algorithm>
#include <array>

#include "wire/ethernet.h"
#include "wire/icmp.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/tcp.h"
#include "wire/udp.h"

namespace ringway::wire {
namespace {

constexpr std::array<std::string_view, static_cast<std::size_t>(ParseDrop::kCount)> kNames = {
    "none",
    "ethernet_truncated",
    "vlan_truncated",
    "unknown_ether_type",
    "ipv4_header",
    "ipv4_truncated",
    "ipv4_checksum",
    "ipv4_fragment",
    "ipv6_header",
    "ipv6_truncated",
    "ipv6_extension",
    "ipv6_header_order",
    "ipv6_option",
    "ipv6_option_report",
    "ipv6_option_report_unicast",
    "ipv6_routing",
    "ipv6_fragment",
    "tcp_header",
    "tcp_checksum",
    "udp_header",
    "udp_checksum",
    "icmp_header",
    "icmp_checksum",
};

// One parse: what is common to all steps.
struct Parser {
  std::span<const std::byte> frame;
  const ParseOptions& options;
  PacketView& view;

  std::uint32_t received() const {
    return std::max(options.packet_length, static_cast<std::uint32_t>(frame.size()));
  }
  // The bytes of the upper layer that are in this frame.
  std::span<const std::byte> l4() const {
    const std::size_t end = std::min<std::size_t>(view.end, frame.size());
    return frame.subspan(view.l4_offset, end - view.l4_offset);
  }

  // False only if the checksum was looked at and is wrong.
  bool check_l4() {
    if (options.checksums_trusted) {
      view.l4_checksum_ok = true;
      return true;
    }
    if (view.end > frame.size()) return true;  // goes on elsewhere: left to the caller
    Checksum sum = view.l4_pseudo_header();
    sum.add(l4());
    view.l4_checksum_ok = sum.verifies();
    return view.l4_checksum_ok;
  }

  ParseDrop tcp() {
    const auto bytes = l4();
    if (bytes.size() < TcpHeader::kSize) return ParseDrop::kTcpHeader;
    const std::size_t header = (base::load_u8(&bytes[12]) >> 4) * 4U;
    if (header < TcpHeader::kSize || header > bytes.size()) return ParseDrop::kTcpHeader;
    view.src_port = base::load_be16(bytes.data());
    view.dst_port = base::load_be16(&bytes[2]);
    view.payload_offset = static_cast<std::uint16_t>(view.l4_offset + header);
    return check_l4() ? ParseDrop::kNone : ParseDrop::kTcpChecksum;
  }

  ParseDrop udp() {
    const auto header = UdpHeader::parse(l4());
    if (!header || header->length > view.l4_length()) return ParseDrop::kUdpHeader;
    view.src_port = header->src_port;
    view.dst_port = header->dst_port;
    view.payload_offset = static_cast<std::uint16_t>(view.l4_offset + UdpHeader::kSize);
    view.end = view.l4_offset + header->length;
    if (header->checksum != 0 || options.checksums_trusted) {
      return check_l4() ? ParseDrop::kNone : ParseDrop::kUdpChecksum;
    }
    // RFC 768: 0 is "no checksum"; over IPv6 it is an error (RFC 8200, 8.1).
    view.l4_checksum_ok = view.is_v4();
    return view.is_v4() ? ParseDrop::kNone : ParseDrop::kUdpChecksum;
  }

  ParseDrop icmp() {
    if (l4().size() < IcmpHeader::kSize) return ParseDrop::kIcmpHeader;
    view.payload_offset = static_cast<std::uint16_t>(view.l4_offset + IcmpHeader::kSize);
    return check_l4() ? ParseDrop::kNone : ParseDrop::kIcmpChecksum;
  }

  ParseDrop upper_layer() {
    view.payload_offset = view.l4_offset;
    if (view.is_fragment) return ParseDrop::kNone;
    switch (view.protocol) {
      case Protocol::kTcp:
        return tcp();
      case Protocol::kUdp:
        return udp();
      case Protocol::kIcmp:
        return view.is_v4() ? icmp() : ParseDrop::kNone;
      case Protocol::kIcmpv6:
        return view.is_v4() ? ParseDrop::kNone : icmp();
      default:
        return ParseDrop::kNone;
    }
  }

  // RFC 791, 3.2: fragments but the last hold a multiple of 8 bytes; none ends beyond 65535.
  bool fragment_sound() const {
    const std::uint32_t length = view.l4_length();
    if (view.more_fragments && (length % 8 != 0 || length == 0)) return false;
    return view.fragment_offset + length <= 0xffff;
  }

  // Ipv4Header::parse and its checks, read straight into the view: this is done for every packet.
  ParseDrop ipv4() {
    const auto bytes = frame.subspan(view.l3_offset);
    if (bytes.size() < Ipv4Header::kSize) return ParseDrop::kIpv4Header;
    const std::byte* p = bytes.data();
    const std::uint32_t first = base::load_u8(p);
    const std::size_t header = (first & 0x0f) * 4;
    const std::uint32_t total = base::load_be16(p + 2);
    if ((first >> 4) != 4 || header < Ipv4Header::kSize || header > bytes.size() ||
        total < header) {
      return ParseDrop::kIpv4Header;
    }
    if (total > received() - view.l3_offset) return ParseDrop::kIpv4Truncated;
    if (!options.checksums_trusted && !Ipv4Header::checksum_ok(bytes.first(header))) {
      return ParseDrop::kIpv4Checksum;
    }
    const std::uint32_t fragment = base::load_be16(p + 6);
    view.src = base::IpAddress::from_v4_bytes(p + 12);
    view.dst = base::IpAddress::from_v4_bytes(p + 16);
    view.protocol = static_cast<Protocol>(base::load_u8(p + 9));
    view.ttl = base::load_u8(p + 8);
    view.traffic_class = base::load_u8(p + 1);
    view.dont_fragment = (fragment & 0x4000) != 0;
    view.more_fragments = (fragment & 0x2000) != 0;
    view.fragment_offset = static_cast<std::uint16_t>((fragment & 0x1fff) * 8);
    view.is_fragment = (fragment & 0x3fff) != 0;
    view.fragment_id = base::load_be16(p + 4);
    view.l4_offset = static_cast<std::uint16_t>(view.l3_offset + header);
    view.end = view.l3_offset + total;
    if (view.is_fragment && !fragment_sound()) return ParseDrop::kIpv4Fragment;
    return upper_layer();
  }

  static ParseDrop drop_of(Ipv6WalkEnd end) {
    switch (end) {
      case Ipv6WalkEnd::kUpperLayer:
      case Ipv6WalkEnd::kFragment:
        return ParseDrop::kNone;
      case Ipv6WalkEnd::kTruncated:
      case Ipv6WalkEnd::kTooMany:
        return ParseDrop::kIpv6Extension;
      case Ipv6WalkEnd::kMisplaced:
        return ParseDrop::kIpv6HeaderOrder;
      case Ipv6WalkEnd::kBadOption:
        return ParseDrop::kIpv6Option;
      case Ipv6WalkEnd::kBadOptionReport:
        return ParseDrop::kIpv6OptionReport;
      case Ipv6WalkEnd::kBadOptionReportUnicast:
        return ParseDrop::kIpv6OptionReportUnicast;
      case Ipv6WalkEnd::kBadRouting:
        return ParseDrop::kIpv6Routing;
    }
    return ParseDrop::kIpv6Extension;
  }

  ParseDrop ipv6_extensions() {
    const std::size_t end = std::min<std::size_t>(view.end, frame.size());
    const auto packet = frame.subspan(view.l3_offset, end - view.l3_offset);
    const Ipv6Walk walk = walk_ipv6(packet, view.protocol);
    view.protocol = walk.protocol;
    view.l4_offset = static_cast<std::uint16_t>(view.l3_offset + walk.offset);
    view.problem_at = static_cast<std::uint16_t>(walk.problem_at);
    if (walk.has_fragment) {
      view.is_fragment = walk.end == Ipv6WalkEnd::kFragment;
      view.more_fragments = walk.fragment.more;
      view.fragment_offset = walk.fragment.offset;
      view.fragment_id = walk.fragment.id;
    }
    if (const ParseDrop drop = drop_of(walk.end); drop != ParseDrop::kNone) return drop;
    return view.is_fragment && !fragment_sound() ? ParseDrop::kIpv6Fragment : ParseDrop::kNone;
  }

  ParseDrop ipv6() {
    const auto ip = Ipv6Header::parse(frame.subspan(view.l3_offset));
    if (!ip) return ParseDrop::kIpv6Header;
    view.src = ip->src;
    view.dst = ip->dst;
    // ::ffff:a.b.c.d would be taken for IPv4; it must not appear on a wire (RFC 4291, 2.5.5.2; RFC
    // 6890).
    if (ip->src.is_v4() || ip->dst.is_v4()) return ParseDrop::kIpv6Header;
    view.end = static_cast<std::uint32_t>(view.l3_offset + Ipv6Header::kSize) + ip->payload_length;
    if (view.end > received()) return ParseDrop::kIpv6Truncated;
    view.protocol = ip->next_header;
    view.ttl = ip->hop_limit;
    view.traffic_class = ip->traffic_class;
    view.dont_fragment = true;
    view.is_fragment = false;
    view.more_fragments = false;
    view.fragment_offset = 0;
    view.fragment_id = 0;
    view.l4_offset = static_cast<std::uint16_t>(view.l3_offset + Ipv6Header::kSize);
    if (is_ipv6_extension(view.protocol)) {
      if (const ParseDrop drop = ipv6_extensions(); drop != ParseDrop::kNone) return drop;
    }
    return upper_layer();
  }

  ParseDrop ip() {
    view.l4_checksum_ok = false;
    view.src_port = 0;
    view.dst_port = 0;
    if (view.l3_offset > frame.size()) return ParseDrop::kEthernetTruncated;
    return view.is_v4() ? ipv4() : ipv6();
  }
};

}  // namespace

std::string_view name(ParseDrop drop) {
  const auto at = static_cast<std::size_t>(drop);
  return at < kNames.size() ? kNames[at] : "unknown";
}

ParseDrop parse_ip(std::span<const std::byte> frame, const ParseOptions& options,
                   PacketView& view) {
  return Parser{frame, options, view}.ip();
}

ParseDrop parse_frame(std::span<const std::byte> frame, const ParseOptions& options,
                      PacketView& view) {
  if (frame.size() < EthernetHeader::kSize) return ParseDrop::kEthernetTruncated;
  view.ether_type = static_cast<EtherType>(base::load_be16(&frame[12]));
  view.l3_offset = EthernetHeader::kSize;
  view.vlan_id = 0;
  if (view.ether_type == EtherType::kVlan) {
    const auto tag = VlanTag::parse(frame.subspan(view.l3_offset));
    if (!tag) return ParseDrop::kVlanTruncated;
    view.vlan_id = tag->id;
    view.ether_type = tag->type;
    view.l3_offset = static_cast<std::uint16_t>(view.l3_offset + VlanTag::kSize);
  }
  if (view.is_ip()) return parse_ip(frame, options, view);
  view.l4_offset = view.payload_offset = view.l3_offset;
  view.end = static_cast<std::uint32_t>(frame.size());
  return view.ether_type == EtherType::kArp ? ParseDrop::kNone : ParseDrop::kUnknownEtherType;
}

}  // namespace ringway::wire
