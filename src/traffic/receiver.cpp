#include "traffic/receiver.h"

#include <array>
#include <optional>

#include "base/bytes.h"
#include "port/packet.h"
#include "wire/checksum.h"
#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/udp.h"

namespace ringway::traffic {
namespace {

/// The UDP datagram of a frame as a generator makes them: no options, no extension headers.
struct Datagram {
  std::span<const std::byte> bytes;
  std::span<const std::byte> addresses;
};

std::optional<Datagram> find_udp(std::span<const std::byte> frame) {
  std::size_t at = wire::EthernetHeader::kSize;
  if (frame.size() < at + wire::VlanTag::kSize) return std::nullopt;
  auto type = static_cast<wire::EtherType>(base::load_be16(&frame[12]));
  if (type == wire::EtherType::kVlan) {
    type = static_cast<wire::EtherType>(base::load_be16(&frame[16]));
    at += wire::VlanTag::kSize;
  }
  constexpr auto kUdp = static_cast<std::uint8_t>(wire::Protocol::kUdp);
  const std::size_t ip = at;
  if (type == wire::EtherType::kIpv4) {
    at += wire::Ipv4Header::kSize;
    if (frame.size() < at + wire::UdpHeader::kSize) return std::nullopt;
    if (base::load_u8(&frame[ip]) != 0x45 || base::load_u8(&frame[ip + 9]) != kUdp) {
      return std::nullopt;
    }
  } else if (type == wire::EtherType::kIpv6) {
    at += wire::Ipv6Header::kSize;
    if (frame.size() < at + wire::UdpHeader::kSize) return std::nullopt;
    if (base::load_u8(&frame[ip + 6]) != kUdp) return std::nullopt;
  } else {
    return std::nullopt;
  }
  const std::size_t length = base::load_be16(&frame[at + 4]);
  if (length < wire::UdpHeader::kSize || length > frame.size() - at) return std::nullopt;
  const std::size_t address_bytes = type == wire::EtherType::kIpv4 ? 8 : 32;
  return Datagram{frame.subspan(at, length), frame.subspan(at - address_bytes, address_bytes)};
}

bool checksum_ok(const Datagram& datagram) {
  if (base::load_be16(&datagram.bytes[6]) == 0) return true;  // none was sent
  wire::Checksum sum;
  sum.add(datagram.addresses);
  sum.add_u32(static_cast<std::uint32_t>(datagram.bytes.size()));
  sum.add_u16(static_cast<std::uint16_t>(wire::Protocol::kUdp));
  sum.add(datagram.bytes);
  return sum.verifies();
}

}  // namespace

std::size_t Receiver::turn(base::Instant now) {
  port_.advance(now);
  std::array<mem::FrameDesc, kBurst> burst;
  const std::size_t n = port_.rx_burst(burst);
  bool inner = false;  // a further piece of a packet that was begun
  for (std::size_t i = 0; i < n; ++i) {
    const mem::FrameDesc& desc = burst[i];
    counts_.bytes += desc.length;
    const bool more = (desc.flags & mem::kFrameMore) != 0;
    if (!inner) {
      ++counts_.frames;
      const bool trusted = more || (desc.flags & mem::kFrameCsumOk) != 0;
      judge({pool_.data(desc.slot) + desc.offset, desc.length}, trusted, now);
    }
    inner = more;
    pool_.free(desc.slot);
  }
  return n;
}

void Receiver::judge(std::span<const std::byte> frame, bool trusted, base::Instant now) {
  const auto datagram = find_udp(frame);
  if (!datagram) return;
  const auto stamp = Stamp::parse(datagram->bytes.subspan(wire::UdpHeader::kSize));
  if (!stamp) return;
  if (!trusted && !checksum_ok(*datagram)) {
    ++counts_.damaged;
    return;
  }
  ++counts_.stamped;
  latency_.add(now.ns - stamp->time_ns);
  if (last_ == nullptr || stamp->stream != last_stream_) {
    auto found = trackers_.find(stamp->stream);
    if (found == trackers_.end()) {
      if (trackers_.size() == kMostStreams) return;
      found = trackers_.try_emplace(stamp->stream).first;
    }
    last_ = &found->second;
    last_stream_ = stamp->stream;
  }
  last_->add(stamp->sequence);
}

SequenceCounts Receiver::sequence() const {
  SequenceCounts all;
  for (const auto& [stream, tracker] : trackers_) {
    const SequenceCounts& one = tracker.counts();
    all.received += one.received;
    all.lost += one.lost;
    all.duplicates += one.duplicates;
    all.reordered += one.reordered;
    all.stale += one.stale;
  }
  return all;
}

}  // namespace ringway::traffic
