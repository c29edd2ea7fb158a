#include "wire/icmp.h"

#include "wire/ipv6.h"

namespace ringway::wire {
namespace {

constexpr std::size_t kQuotedL4 = 8;

// Reads the upper layer's first eight bytes.
std::optional<QuotedPacket> with_upper_layer(QuotedPacket q, std::span<const std::byte> l4) {
  if (l4.size() < kQuotedL4) return std::nullopt;
  if (q.protocol == Protocol::kTcp || q.protocol == Protocol::kUdp) {
    q.src_port = base::load_be16(l4.data());
    q.dst_port = base::load_be16(&l4[2]);
  }
  if (q.protocol == Protocol::kTcp) q.tcp_seq = base::load_be32(&l4[4]);
  if (q.protocol == Protocol::kIcmp || q.protocol == Protocol::kIcmpv6) {
    q.src_port = base::load_be16(&l4[4]);
  }
  return q;
}

std::optional<QuotedPacket> parse_v4(std::span<const std::byte> quoted) {
  // Not Ipv4Header::parse: some routers rewrite total_length in the quotation.
  constexpr std::size_t kFixed = 20;
  if (quoted.size() < kFixed) return std::nullopt;
  const std::size_t header = (base::load_u8(quoted.data()) & 0x0fU) * 4;
  const bool first_fragment = (base::load_be16(&quoted[6]) & 0x1fff) == 0;
  if (header < kFixed || header > quoted.size() || !first_fragment) return std::nullopt;
  QuotedPacket q;
  q.total_length = base::load_be16(&quoted[2]);
  q.protocol = static_cast<Protocol>(base::load_u8(&quoted[9]));
  q.src = base::IpAddress::from_v4_bytes(&quoted[12]);
  q.dst = base::IpAddress::from_v4_bytes(&quoted[16]);
  return with_upper_layer(q, quoted.subspan(header));
}

std::optional<QuotedPacket> parse_v6(std::span<const std::byte> quoted) {
  const auto ip = Ipv6Header::parse(quoted);
  // A mapped address is none of ours and would be taken for IPv4 (RFC 4291, 2.5.5.2).
  if (!ip || ip->src.is_v4() || ip->dst.is_v4()) return std::nullopt;
  const Ipv6Walk walk = walk_ipv6(quoted, ip->next_header);
  const bool first_fragment = walk.end == Ipv6WalkEnd::kFragment && walk.fragment.offset == 0;
  const bool at_upper_layer = walk.end == Ipv6WalkEnd::kUpperLayer || first_fragment;
  if (!at_upper_layer || walk.offset > quoted.size()) return std::nullopt;
  QuotedPacket q;
  q.total_length = static_cast<std::uint16_t>(ip->payload_length > 0xffff - Ipv6Header::kSize
                                                  ? 0xffff
                                                  : ip->payload_length + Ipv6Header::kSize);
  q.protocol = walk.protocol;
  q.src = ip->src;
  q.dst = ip->dst;
  return with_upper_layer(q, quoted.subspan(walk.offset));
}

}  // namespace

std::optional<QuotedPacket> QuotedPacket::parse(std::span<const std::byte> quoted) {
  if (quoted.empty()) return std::nullopt;
  switch (base::load_u8(quoted.data()) >> 4) {
    case 4:
      return parse_v4(quoted);
    case 6:
      return parse_v6(quoted);
    default:
      return std::nullopt;
  }
}

}  // namespace ringway::wire
