#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "base/address.h"
#include "base/bytes.h"

namespace ringway::wire {

enum class ArpOperation : std::uint16_t { kRequest = 1, kReply = 2 };

/// An ARP packet for IPv4 over Ethernet (RFC 826). Other hardware or protocols do not parse.
struct ArpPacket {
  static constexpr std::size_t kSize = 28;

  ArpOperation operation = ArpOperation::kRequest;
  base::MacAddress sender_mac;
  base::IpAddress sender_ip = base::IpAddress::any_v4();
  base::MacAddress target_mac;
  base::IpAddress target_ip = base::IpAddress::any_v4();

  static std::optional<ArpPacket> parse(std::span<const std::byte> bytes) {
    if (bytes.size() < kSize || base::load_be64(bytes.data()) >> 16 != kFixed) return std::nullopt;
    ArpPacket p;
    p.operation = static_cast<ArpOperation>(base::load_be16(bytes.data() + 6));
    if (p.operation != ArpOperation::kRequest && p.operation != ArpOperation::kReply) {
      return std::nullopt;
    }
    std::memcpy(p.sender_mac.bytes.data(), bytes.data() + 8, 6);
    p.sender_ip = base::IpAddress::from_v4_bytes(bytes.data() + 14);
    std::memcpy(p.target_mac.bytes.data(), bytes.data() + 18, 6);
    p.target_ip = base::IpAddress::from_v4_bytes(bytes.data() + 24);
    return p;
  }
  /// Writes kSize bytes.
  void emit(std::byte* out) const {
    base::store_be64(out, kFixed << 16 | static_cast<std::uint16_t>(operation));
    std::memcpy(out + 8, sender_mac.bytes.data(), 6);
    std::memcpy(out + 14, sender_ip.bytes.data() + 12, 4);
    std::memcpy(out + 18, target_mac.bytes.data(), 6);
    std::memcpy(out + 24, target_ip.bytes.data() + 12, 4);
  }

 private:
  // Hardware type 1, protocol type 0x0800, lengths 6 and 4.
  static constexpr std::uint64_t kFixed = 0x0001'0800'06'04;
};

}  // namespace ringway::wire
