#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "gateway/counters.h"
#include "gateway/flow_table.h"
#include "ip/ip.h"
#include "mem/arena.h"
#include "mem/byte_queue.h"
#include "ring/slot_ring.h"
#include "stack/link.h"

namespace ringway::gateway {

inline constexpr std::uint32_t kMaxPeers = ring::Mailbox::kMaxLinks;
inline constexpr std::uint32_t kFrames = 512;
/// A frame from the kernel fits a frame of a link: the tap driver limits the kernel to what is left
/// behind the headroom.
inline constexpr std::uint32_t kFrameBytes = ring::kBigFrameBytes + mem::kMaxHeadroom;
static_assert(kFrameBytes <= UINT16_MAX);

/// All of a gateway, in its arena as any stack's: it can be looked at from outside. Sparse.
struct State {
  mem::ArenaHeader header;
  Counters counters;
  ip::State ip;
  FlowTable flows;
  mem::FramePoolState frame_pool;
  mem::CellSlab cells;
  std::array<stack::LinkState, kMaxPeers> links;
  alignas(4096) std::array<std::byte, std::size_t{kFrames} * kFrameBytes> frames;
};
static_assert(std::is_trivially_copyable_v<State> && std::is_standard_layout_v<State>);

constexpr std::uint64_t layout_hash() { return 0x6761746577617931U ^ sizeof(State) << 8; }

}  // namespace ringway::gateway
