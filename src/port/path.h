#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/address.h"
#include "base/bytes.h"

namespace ringway::port {

/// Flags of a Path: the capabilities of its port as the transport protocols need them.
enum PathFlag : std::uint8_t {
  kPathReliable =
      1 << 0,  ///< no loss, no reordering: no retransmission queue, no congestion window
  kPathTxChecksum = 1 << 1,  ///< leave the transport checksum to the port (kFrameCsumNeeded)
  kPathGso = 1 << 2,         ///< frames of up to max_frame bytes with gso_size
  kPathPending = 1 << 3,     ///< the neighbour is not resolved yet: nothing can be sent
  kPathDown = 1 << 4,        ///< the port or peer is gone
};

/// How to reach one address from one address: port and ready-made Ethernet and IP headers.
/// Made by ip and stack, shared by all connections of the same address pair; plain data in the
/// arena. A frame starts with a copy of `header`; finish() fills in what differs from packet to
/// packet.
struct Path {
  static constexpr std::size_t kMaxHeader = 58;  ///< Ethernet with a VLAN tag, IPv6

  std::uint16_t port;          ///< index of the port in the stack
  std::uint16_t mtu;           ///< largest IP packet of this path, in bytes
  std::uint32_t max_frame;     ///< largest frame that the port takes at once
  std::uint8_t header_length;  ///< Ethernet and IP
  std::uint8_t l3_offset;      ///< where the IP header starts
  std::uint8_t flags;          ///< PathFlag
  std::uint8_t is_v6;
  std::uint32_t generation;  ///< of the tables that it was made from
  std::uint32_t ip_id;       ///< next IPv4 identification
  std::uint32_t users;       ///< connections and sockets that hold it
  base::IpAddress local;
  base::IpAddress remote;
  std::array<std::byte, 64> header;

  /// Writes Ethernet and IP headers for `l4_length` bytes of `protocol`; returns where they go.
  std::byte* write_header(std::byte* frame, std::uint8_t protocol, std::uint32_t l4_length) {
    std::memcpy(frame, header.data(),
                header.size());  // fixed size: four vector moves; the rest is overwritten
    std::byte* l3 = frame + l3_offset;
    if (is_v6 != 0) {
      base::store_be16(l3 + 4, static_cast<std::uint16_t>(l4_length));
      base::store_u8(l3 + 6, protocol);
    } else {
      write_v4(l3, protocol, l4_length);
    }
    return frame + header_length;
  }

 private:
  void write_v4(std::byte* l3, std::uint8_t protocol, std::uint32_t l4_length) {
    const auto total = __builtin_bswap16(static_cast<std::uint16_t>(20 + l4_length));
    const auto id = __builtin_bswap16(static_cast<std::uint16_t>(ip_id++));
    // The sum in memory order (RFC 1071, 2 (B)): what never changes comes from `header`, whose
    // bytes have long been written, so that no load waits for the stores below.
    std::uint64_t first;
    std::uint64_t second;
    std::uint32_t third;
    const std::byte* fixed = header.data() + l3_offset;
    std::memcpy(&first, fixed, sizeof first);
    std::memcpy(&second, fixed + 8, sizeof second);
    std::memcpy(&third, fixed + 16, sizeof third);
    first &= 0xffff'0000'0000'ffffU;   // without total length and identification
    second &= 0xffff'ffff'0000'00ffU;  // without protocol and checksum
    std::uint64_t sum = (first >> 32) + (first & 0xffff) + (second >> 32) + (second & 0xff) +
                        third + total + id + (std::uint32_t{protocol} << 8);
    sum = (sum >> 32) + (sum & 0xffff'ffffU);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    const auto field = static_cast<std::uint16_t>(~((sum >> 16) + sum));
    std::memcpy(l3 + 2, &total, sizeof total);
    std::memcpy(l3 + 4, &id, sizeof id);
    base::store_u8(l3 + 9, protocol);
    std::memcpy(l3 + 10, &field, sizeof field);
  }
};
static_assert(sizeof(Path) <= 128);

}  // namespace ringway::port
