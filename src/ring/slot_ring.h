#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "mem/frame_desc.h"
#include "ring/barrier.h"

namespace ringway::ring {

/// One slot of a link's ring: 256 bytes, four cache lines. The sequence number in the slot is the
/// only word both sides need: the receiver sees frame and signal in the same line. The header is
/// kept to eight bytes so that 64 bytes of payload with their Ethernet, IPv4 and TCP headers (118)
/// fit into two lines.
///
///   0     4        6       7        8                                            256
///   +-----+--------+-------+--------+--------------------------------------------+
///   | seq | length | flags | l4_off | the frame itself, up to 248 bytes;         |
///   |     |        |       |        | without kFrameInline: its FrameDesc        |
///   +-----+--------+-------+--------+--------------------------------------------+
struct alignas(64) Slot {
  static constexpr std::uint32_t kInlineBytes = 248;
  static constexpr std::uint32_t kHeaderBytes = 8;
  static constexpr std::uint32_t kLine = 64;                     ///< bytes of a cache line
  static constexpr std::uint32_t kFirst = kLine - kHeaderBytes;  ///< of a frame, in line 0

  std::atomic<std::uint32_t> seq;  ///< position + 1 once the slot is published
  std::uint16_t length;            ///< of an inline frame
  std::uint8_t flags;              ///< FrameFlag
  std::uint8_t l4_offset;          ///< as in FrameDesc
  std::array<std::byte, kInlineBytes> data;
};
static_assert(sizeof(Slot) == 256);
static_assert(offsetof(Slot, data) == 8);

/// Sizes of one direction of a link. The Region holds small frames for what does not fit a slot and
/// big ones for sends that travel whole; small ones keep 64-byte colours, so they take a 1514-byte
/// frame.
constexpr std::uint32_t kSlots = 1024;
constexpr std::uint32_t kSmallFrames = 1024;
constexpr std::uint32_t kSmallSlotBytes = 2048;
constexpr std::uint32_t kSmallFrameBytes = 1600;
constexpr std::uint32_t kBigFrames = 128;
constexpr std::uint32_t kBigSlotBytes = 36864;
constexpr std::uint32_t kBigFrameBytes = 33'280;  ///< 32 KiB of payload and its headers
constexpr std::uint32_t kFrames = kSmallFrames + kBigFrames;
constexpr std::uint32_t kReturnSlots = 2048;
static_assert(kReturnSlots > kFrames, "a receiver can always return what it holds");
constexpr std::uint32_t small_colour(std::uint32_t slot) { return (slot % 7) * 64; }
static_assert(kSmallFrameBytes + small_colour(6) <= kSmallSlotBytes);
static_assert(kBigFrameBytes <= kBigSlotBytes);

/// Shared memory of one direction of a link. The sender writes slots and frames; the receiver
/// writes `consumed`, `hot` and the return ring. Each side keeps its own positions in its arena and
/// trusts nothing that it reads here beyond what it validates. A sender that found no room sets
/// `wants_room` before it sleeps; the receiver that makes room clears it and marks the sender's
/// mailbox.
struct Direction {
  alignas(64) std::atomic<std::uint32_t> consumed;  ///< receiver: slots below this are free again
  alignas(64) std::atomic<std::uint32_t> hot;  ///< receiver: 1 while it polls this link each turn
  std::atomic<std::uint32_t> mark_bit;  ///< receiver: which bit of its mailbox means this link
  alignas(64) std::atomic<std::uint32_t> return_tail;  ///< receiver: frames returned so far
  alignas(64)
      std::atomic<std::uint32_t> wants_room;  ///< sender: 1: sleeps until slots or frames are free
  alignas(64) std::array<std::atomic<std::uint32_t>, kReturnSlots> returned;
  alignas(64) std::array<Slot, kSlots> slots;
};

/// Shared memory of a stack that its peers mark: which links have something, and whether to ring.
struct Mailbox {
  static constexpr std::uint32_t kMaxLinks = 1024;

  alignas(64)
      std::atomic<std::uint32_t> sleeping;  ///< the stack's side: 1 while it waits on its doorbell
  alignas(64) std::atomic<std::uint64_t> summary;  ///< bit w: word w of `dirty` is not zero
  alignas(64) std::array<std::atomic<std::uint64_t>, kMaxLinks / 64> dirty;

  /// Any side; a spurious mark is harmless. Also a full fence: who sees the bit taken sees what was
  /// published before the mark, and what is read after it is not older. (To look first whether the
  /// bit is set would lose a mark: the receiver may take the bit and look at the ring before the
  /// frame leaves the sender's store buffer.)
  void mark(std::uint32_t link) {
    dirty[link / 64].fetch_or(std::uint64_t{1} << (link % 64), std::memory_order_seq_cst);
    const std::uint64_t top = std::uint64_t{1} << (link / 64);
    if ((summary.load(std::memory_order_seq_cst) & top) == 0) {
      summary.fetch_or(top, std::memory_order_seq_cst);
    }
  }
  /// A sender that has published something: marks, and says whether the owner sleeps, so that its
  /// doorbell is to be rung.
  bool knock(std::uint32_t link) {
    mark(link);
    AsymmetricBarrier::light();
    if (sleeping.load(std::memory_order_relaxed) == 0) return false;
    return sleeping.exchange(0, std::memory_order_acq_rel) != 0;
  }
};
static_assert(sizeof(Mailbox) <= 4096);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace ringway::ring
