#include "wire/ipv6.h"

namespace ringway::wire {
namespace {

using base::load_u8;

// RFC 8200, 4.2: the two highest bits of an option type say what to do if it is not known.
Ipv6WalkEnd end_for_unknown(std::uint8_t option_type) {
  switch (option_type >> 6) {
    case 0:
      return Ipv6WalkEnd::kUpperLayer;
    case 1:
      return Ipv6WalkEnd::kBadOption;
    case 2:
      return Ipv6WalkEnd::kBadOptionReport;
    default:
      return Ipv6WalkEnd::kBadOptionReportUnicast;
  }
}

// Looks at the options of a hop-by-hop or destination header at [at, at + length).
void check_options(std::span<const std::byte> packet, std::uint32_t at, std::uint32_t length,
                   Ipv6Walk& walk) {
  const std::uint32_t end = at + length;
  std::uint32_t p = at + 2;
  while (p < end) {
    const std::uint8_t type = load_u8(&packet[p]);
    if (type == 0) {  // Pad1
      ++p;
      continue;
    }
    if (p + 2 > end || p + 2 + load_u8(&packet[p + 1]) > end) {
      walk.end = Ipv6WalkEnd::kTruncated;
      return;
    }
    const bool known = type == 1 || type == 5;  // PadN; router alert (RFC 2711), of no concern here
    if (!known) walk.end = end_for_unknown(type);
    if (walk.end != Ipv6WalkEnd::kUpperLayer) {
      walk.problem_at = p;
      return;
    }
    p += 2U + load_u8(&packet[p + 1]);
  }
}

void check_routing(std::span<const std::byte> packet, Ipv6Walk& walk) {
  const bool segments_left = load_u8(&packet[walk.offset + 3]) != 0;
  if (!segments_left) return;
  walk.end = Ipv6WalkEnd::kBadRouting;
  walk.problem_at = walk.offset + 2;
}

void enter_fragment(std::span<const std::byte> packet, Ipv6Walk& walk) {
  walk.fragment = *Ipv6FragmentHeader::parse(packet.subspan(walk.offset));
  walk.has_fragment = true;
  walk.fragment_at = walk.offset;
  walk.fragment_named_at = walk.next_header_at;
  // An atomic fragment is a whole packet (RFC 6946).
  if (walk.fragment.more || walk.fragment.offset != 0) walk.end = Ipv6WalkEnd::kFragment;
}

std::uint32_t extension_length(std::span<const std::byte> packet, const Ipv6Walk& walk) {
  const std::uint32_t units = load_u8(&packet[walk.offset + 1]);
  if (walk.protocol == Protocol::kFragment) return Ipv6FragmentHeader::kSize;
  if (walk.protocol == Protocol::kAuthentication) return (units + 2) * 4;  // RFC 4302, 2.2
  return (units + 1) * 8;
}

// One extension header: checks it and steps over it, or sets walk.end.
void step(std::span<const std::byte> packet, Ipv6Walk& walk) {
  if (walk.offset + 8U > packet.size()) {
    walk.end = Ipv6WalkEnd::kTruncated;
    return;
  }
  const std::uint32_t length = extension_length(packet, walk);
  if (length > packet.size() - walk.offset) {
    walk.end = Ipv6WalkEnd::kTruncated;
    return;
  }
  if (walk.protocol == Protocol::kHopByHop && walk.offset != Ipv6Header::kSize) {
    walk.end = Ipv6WalkEnd::kMisplaced;
    walk.problem_at = walk.next_header_at;
    return;
  }
  if (walk.protocol == Protocol::kHopByHop || walk.protocol == Protocol::kDestinationOptions) {
    check_options(packet, walk.offset, length, walk);
  } else if (walk.protocol == Protocol::kRouting) {
    check_routing(packet, walk);
  } else if (walk.protocol == Protocol::kFragment) {
    enter_fragment(packet, walk);
  }
  if (walk.end != Ipv6WalkEnd::kUpperLayer && walk.end != Ipv6WalkEnd::kFragment) return;
  walk.protocol = static_cast<Protocol>(load_u8(&packet[walk.offset]));
  walk.next_header_at = walk.offset;
  walk.offset += length;
}

}  // namespace

Ipv6Walk walk_ipv6(std::span<const std::byte> packet, Protocol first) {
  Ipv6Walk walk;
  walk.protocol = first;
  walk.offset = Ipv6Header::kSize;
  walk.next_header_at = 6;
  for (int n = 0; is_ipv6_extension(walk.protocol); ++n) {
    if (n == kMaxIpv6Extensions) {
      walk.end = Ipv6WalkEnd::kTooMany;
      return walk;
    }
    step(packet, walk);
    if (walk.end != Ipv6WalkEnd::kUpperLayer) return walk;
  }
  return walk;
}

}  // namespace ringway::wire
