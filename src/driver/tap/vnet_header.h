#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "mem/frame_desc.h"

namespace ringway::driver {

/// The header that stands before each frame on a tap, little-endian (virtio 1.2, 5.1.6, as struct
/// virtio_net_hdr of linux/virtio_net.h, which is no C++).
///
///   0       1          2         4          6            8             10
///   +-------+----------+---------+----------+------------+-------------+
///   | flags | gso_type | hdr_len | gso_size | csum_start | csum_offset |
///   +-------+----------+---------+----------+------------+-------------+
struct VnetHeader {
  static constexpr std::uint8_t kNeedsChecksum = 1;  ///< [csum_start, end) is to be summed up
  static constexpr std::uint8_t kDataValid = 2;      ///< the checksum was verified

  static constexpr std::uint8_t kGsoNone = 0;
  static constexpr std::uint8_t kGsoTcp4 = 1;
  static constexpr std::uint8_t kGsoTcp6 = 4;
  static constexpr std::uint8_t kGsoEcn = 0x80;  ///< beside a type: the first segment keeps CWR

  std::uint8_t flags = 0;
  std::uint8_t gso_type = kGsoNone;
  std::uint16_t hdr_len = 0;
  std::uint16_t gso_size = 0;
  std::uint16_t csum_start = 0;
  std::uint16_t csum_offset = 0;  ///< of the checksum field, from csum_start
};
static_assert(sizeof(VnetHeader) == 10);

/// What `desc` says about a packet, for the kernel. `head` is the packet's first piece, which must
/// hold all headers; `length` is that of the whole packet. False if the packet is not what desc
/// says: not sendable.
bool to_vnet(const mem::FrameDesc& desc, std::span<const std::byte> head, std::uint32_t length,
             VnetHeader& header);

/// Sets flags, gso_size and l4_offset of `desc` from what the kernel says about a packet of
/// `length` bytes. False if that is nonsense.
bool from_vnet(const VnetHeader& header, std::uint32_t length, mem::FrameDesc& desc);

}  // namespace ringway::driver
