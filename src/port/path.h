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
    const auto total = static_cast<std::uint16_t>(20 + l4_length);
    base::store_be16(l3 + 2, total);
    base::store_be16(l3 + 4, static_cast<std::uint16_t>(ip_id++));
    base::store_u8(l3 + 9, protocol);
    base::store_be16(l3 + 10, 0);
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < 20; i += 4) {
      const std::uint32_t word = base::load_be32(l3 + i);
      sum += (word >> 16) + (word & 0xffff);
    }
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    base::store_be16(l3 + 10, static_cast<std::uint16_t>(~sum));
  }
};
static_assert(sizeof(Path) <= 128);

}  // namespace ringway::port
