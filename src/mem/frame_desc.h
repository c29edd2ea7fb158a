#pragma once

#include <cstdint>
#include <type_traits>

namespace ringway::mem {

/// Flags of a FrameDesc.
enum FrameFlag : std::uint8_t {
  kFrameMore = 1 << 0,    ///< the packet goes on in the next descriptor
  kFrameCsumOk = 1 << 1,  ///< checksums need no check: verified, or memory that cannot be corrupted
  kFrameCsumNeeded = 1 << 2,  ///< the L4 checksum field is not filled in; egress computes it
  kFrameGsoTcp4 =
      1
      << 3,  ///< a TCP/IPv4 packet to be cut into gso_size pieces by a port without the capability
  kFrameGsoTcp6 = 1 << 4,  ///< the same for IPv6
  kFrameInline = 1 << 5,   ///< the frame rides in the ring slot itself; `slot` means nothing
};

/// Where a frame lies and what is known about it: 16 bytes, the same in every ring.
///
///   0         4         6         8         10      11      12        16
///   +---------+---------+---------+---------+-------+-------+---------+
///   | slot    | offset  | length  |gso_size | flags |l4_off | flowhash|
///   +---------+---------+---------+---------+-------+-------+---------+
///
/// A descriptor that came from outside the process is copied once and validated before use.
struct FrameDesc {
  std::uint32_t slot = 0;       ///< index into the Region that goes with the ring
  std::uint16_t offset = 0;     ///< first byte of the frame within its slot
  std::uint16_t length = 0;     ///< bytes
  std::uint16_t gso_size = 0;   ///< payload bytes of each segment that a port may cut; 0: none
  std::uint8_t flags = 0;       ///< FrameFlag
  std::uint8_t l4_offset = 0;   ///< of the transport header from the frame's first byte; 0: unknown
  std::uint32_t flow_hash = 0;  ///< symmetric hash of the flow, 0: unknown
};

static_assert(sizeof(FrameDesc) == 16);
static_assert(std::is_trivially_copyable_v<FrameDesc> && std::is_standard_layout_v<FrameDesc>);

/// A frame of any Region that a stack knows: 12 bits of region, 20 bits of slot. 0 is no frame.
/// Region 0 is the arena's own pool (whose slot 0 is never given out); others belong to ports.
struct FrameRef {
  std::uint32_t value = 0;

  static constexpr std::uint32_t kSlotBits = 20;
  static constexpr std::uint32_t kMaxSlots = 1U << kSlotBits;
  static constexpr std::uint32_t kMaxRegions = 1U << (32 - kSlotBits);

  static constexpr FrameRef make(std::uint32_t region, std::uint32_t slot) {
    return {region << kSlotBits | slot};
  }
  constexpr std::uint32_t region() const { return value >> kSlotBits; }
  constexpr std::uint32_t slot() const { return value & (kMaxSlots - 1); }
  constexpr explicit operator bool() const { return value != 0; }
  constexpr bool operator==(const FrameRef&) const = default;
};

}  // namespace ringway::mem
