#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "mem/frame_desc.h"
#include "mem/frame_pool.h"

namespace ringway::port {

/// A packet of more descriptors than this is not sent by any port.
constexpr std::size_t kMaxPieces = 64;

/// How many descriptors the first packet of `packets` has; 0 if its end is not among them.
inline std::size_t pieces_of(std::span<const mem::FrameDesc> packets) {
  for (std::size_t i = 0; i < packets.size(); ++i) {
    if ((packets[i].flags & mem::kFrameMore) == 0) return i + 1;
  }
  return 0;
}

/// Bytes of one packet.
inline std::uint32_t length_of(std::span<const mem::FrameDesc> packet) {
  std::uint32_t length = 0;
  for (const mem::FrameDesc& piece : packet) length += piece.length;
  return length;
}

/// True if every piece lies within its slot of the pool, and the packet has one byte at least.
inline bool lies_within(mem::FramePool& pool, std::span<const mem::FrameDesc> packet) {
  const mem::RegionView view = pool.view();
  for (const mem::FrameDesc& piece : packet) {
    if (!view.contains(piece.slot, piece.offset, piece.length)) return false;
  }
  return packet.size() <= kMaxPieces && length_of(packet) != 0;
}

/// Gives the frames of a packet back; slots that the pool does not have are left alone.
inline void free_packet(mem::FramePool& pool, std::span<const mem::FrameDesc> packet) {
  for (const mem::FrameDesc& piece : packet) {
    if (piece.slot < pool.size()) pool.free(piece.slot);
  }
}

}  // namespace ringway::port
