#include "traffic/frame_maker.h"

#include <fmt/format.h>

#include <cstring>

#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/udp.h"

namespace ringway::traffic {

using base::ErrorCode;

namespace {

void write_ip(const base::IpAddress& src, const base::IpAddress& dst, std::uint16_t udp_length,
              std::byte* out) {
  if (src.is_v4()) {
    wire::Ipv4Header ip;
    ip.src = src;
    ip.dst = dst;
    ip.total_length = static_cast<std::uint16_t>(wire::Ipv4Header::kSize + udp_length);
    ip.protocol = wire::Protocol::kUdp;
    ip.dont_fragment = true;
    return ip.emit(out);
  }
  wire::Ipv6Header ip;
  ip.src = src;
  ip.dst = dst;
  ip.payload_length = udp_length;
  ip.next_header = wire::Protocol::kUdp;
  ip.emit(out);
}

}  // namespace

base::Result<FrameMaker> FrameMaker::create(const FramePattern& pattern) {
  FrameMaker maker(pattern);
  const bool v4 = pattern.src.first.is_v4();
  if (v4 != pattern.dst.first.is_v4()) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "source and destination must both be IPv4 or both IPv6 addresses");
  }
  maker.header_bytes_ = static_cast<std::uint16_t>(
      wire::EthernetHeader::kSize + (pattern.vlan ? wire::VlanTag::kSize : 0) +
      (v4 ? wire::Ipv4Header::kSize : wire::Ipv6Header::kSize) + wire::UdpHeader::kSize);
  const std::size_t least = maker.header_bytes_ + Stamp::kSize;
  if (pattern.sizes.least() < least) {
    return base::fail(ErrorCode::kInvalidArgument,
                      fmt::format("frames of {} bytes are too small; with these headers the least "
                                  "size is {}",
                                  pattern.sizes.least(), least));
  }
  maker.flows_ = std::uint64_t{pattern.src.count} * pattern.dst.count * pattern.src_port.count *
                 pattern.dst_port.count;
  maker.constant_ = maker.flows_ == 1 && pattern.sizes.least() == pattern.sizes.most();
  if (maker.constant_) {
    maker.write_headers(0, pattern.sizes.least(), maker.headers_, maker.sum_);
  }
  return maker;
}

void FrameMaker::write_headers(std::uint64_t flow, std::uint16_t length,
                               std::span<std::byte> headers, wire::Checksum& sum) const {
  const auto digit = [&flow](std::uint32_t base) {
    const auto value = static_cast<std::uint32_t>(flow % base);
    flow /= base;
    return value;
  };
  const std::uint16_t src_port = pattern_.src_port.of(digit(pattern_.src_port.count));
  const std::uint16_t dst_port = pattern_.dst_port.of(digit(pattern_.dst_port.count));
  const base::IpAddress src = pattern_.src.of(digit(pattern_.src.count));
  const base::IpAddress dst = pattern_.dst.of(digit(pattern_.dst.count));
  const auto ip_type = src.is_v4() ? wire::EtherType::kIpv4 : wire::EtherType::kIpv6;
  std::byte* at = headers.data();
  wire::EthernetHeader{pattern_.dst_mac, pattern_.src_mac,
                       pattern_.vlan ? wire::EtherType::kVlan : ip_type}
      .emit(at);
  at += wire::EthernetHeader::kSize;
  if (pattern_.vlan) {
    wire::VlanTag{.id = *pattern_.vlan, .type = ip_type}.emit(at);
    at += wire::VlanTag::kSize;
  }
  const std::size_t ip_bytes = src.is_v4() ? wire::Ipv4Header::kSize : wire::Ipv6Header::kSize;
  const auto before = static_cast<std::size_t>(at - headers.data()) + ip_bytes;
  const auto udp_length = static_cast<std::uint16_t>(length - before);
  write_ip(src, dst, udp_length, at);
  at += ip_bytes;
  wire::UdpHeader{src_port, dst_port, udp_length, 0}.emit(at);
  sum = wire::pseudo_header(src, dst, static_cast<std::uint8_t>(wire::Protocol::kUdp), udp_length);
  sum.add({at, wire::UdpHeader::kSize});
}

void FrameMaker::write(std::uint64_t n, const Stamp& stamp, std::span<std::byte> frame) const {
  wire::Checksum sum;
  if (constant_) [[likely]] {
    std::memcpy(frame.data(), headers_.data(), header_bytes_);
    sum = sum_;
  } else {
    write_headers(n % flows_, static_cast<std::uint16_t>(frame.size()), frame, sum);
  }
  std::byte* payload = frame.data() + header_bytes_;
  stamp.emit(payload);
  sum.add({payload, Stamp::kSize});  // zeros add nothing
  std::memset(payload + Stamp::kSize, 0, frame.size() - header_bytes_ - Stamp::kSize);
  base::store_be16(payload - 2, sum.finish_udp());
}

}  // namespace ringway::traffic
