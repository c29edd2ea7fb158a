#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

/// What the packet examples read of a frame: IPv4 addresses, protocol and ports.
struct Flow {
  std::uint32_t source = 0, destination = 0;
  std::uint16_t source_port = 0, destination_port = 0;  ///< 0 unless TCP or UDP
  std::uint8_t protocol = 0;
};

inline std::uint32_t big_endian(std::span<const std::byte> bytes) {
  std::uint32_t value = 0;
  for (const std::byte b : bytes) value = value << 8 | std::to_integer<std::uint32_t>(b);
  return value;
}

/// Nothing for what is not IPv4 or too short.
inline std::optional<Flow> flow_of(std::span<const std::byte> frame) {
  constexpr std::size_t kEthernet = 14;
  constexpr std::uint8_t kTcp = 6;
  constexpr std::uint8_t kUdp = 17;
  if (frame.size() < kEthernet + 20 || big_endian(frame.subspan(12, 2)) != 0x0800) return {};
  const auto ip = frame.subspan(kEthernet);
  const std::size_t header = (std::to_integer<std::size_t>(ip[0]) & 15) * 4;
  if (std::to_integer<unsigned>(ip[0]) >> 4 != 4 || header < 20) return {};
  Flow flow;
  flow.protocol = std::to_integer<std::uint8_t>(ip[9]);
  flow.source = big_endian(ip.subspan(12, 4));
  flow.destination = big_endian(ip.subspan(16, 4));
  const bool first = (big_endian(ip.subspan(6, 2)) & 0x1fff) == 0;
  if (first && (flow.protocol == kTcp || flow.protocol == kUdp) && ip.size() >= header + 4) {
    flow.source_port = static_cast<std::uint16_t>(big_endian(ip.subspan(header, 2)));
    flow.destination_port = static_cast<std::uint16_t>(big_endian(ip.subspan(header + 2, 2)));
  }
  return flow;
}

/// The same for both directions of a flow.
inline std::uint32_t symmetric_hash(const Flow& flow) {
  const std::uint64_t ends = (std::uint64_t{flow.source} << 16 ^ flow.source_port) +
                             (std::uint64_t{flow.destination} << 16 ^ flow.destination_port);
  return static_cast<std::uint32_t>((ends ^ flow.protocol) * 0x9E3779B97F4A7C15 >> 32);
}
