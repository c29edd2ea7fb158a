#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/time.h"
#include "mem/frame_desc.h"

namespace ringway::mem {

/// Whether the frames of an arena's owner are being captured (docs/decisions/0056). Who captures
/// writes `until_ns` a second ahead, again and again; when it is killed, the capture ends by
/// itself.
struct CaptureControl {
  std::atomic<std::int64_t> until_ns;     ///< CLOCK_MONOTONIC; in the past: off
  std::atomic<std::uint32_t> snap_bytes;  ///< of each frame so much is kept
};

enum class CaptureWay : std::uint8_t { kIn = 0, kOut = 1 };

/// Stands before the bytes of a frame. Records begin at multiples of 8 and do not wrap: one without
/// a frame (`number` kFiller) fills what is left of the ring.
struct CaptureRecord {
  static constexpr std::uint64_t kFiller = UINT64_MAX;

  std::uint64_t number;    ///< counts the frames of this ring
  std::int64_t time_ns;    ///< CLOCK_MONOTONIC, of the turn
  std::uint32_t size;      ///< of the record, this header included
  std::uint32_t kept;      ///< bytes of the frame that follow
  std::uint32_t length;    ///< of the frame
  std::uint16_t port;      ///< number of the port within its owner
  std::uint16_t gso_size;  ///< as in FrameDesc
  std::uint8_t flags;      ///< FrameFlag
  std::uint8_t l4_offset;  ///< as in FrameDesc
  CaptureWay way;
  std::uint8_t padding[5];
};
static_assert(sizeof(CaptureRecord) == 40);

/// Frames as they passed, the oldest overwritten by the newest. One writer (who holds the stack's
/// lock), any number of readers, whom nobody waits for: a reader copies, then looks at `reserved`
/// to know whether what it copied was being overwritten meanwhile.
struct CaptureRing {
  static constexpr std::uint64_t kBytes = std::uint64_t{4} << 20;

  alignas(64) std::atomic<std::uint64_t> reserved;  ///< bytes ever written or about to be
  std::atomic<std::uint64_t> written;               ///< bytes ever written
  std::atomic<std::uint64_t> number;                ///< of the next frame
  alignas(64) std::array<std::byte, kBytes> bytes;
};

/// What an arena holds for captures, behind the stack's state: a page that whoever captures may
/// write, the writer's own notes, and the ring.
struct CaptureArea {
  static constexpr std::uint32_t kMostPorts = 1024;

  alignas(4096) CaptureControl control;
  alignas(
      4096) std::array<std::uint32_t, kMostPorts> sent;  ///< of each link: position recorded up to
  CaptureRing ring;
};

/// The writer's side: process-local, one per view of an arena. Needs the stack's lock.
class CaptureTap {
 public:
  CaptureTap() = default;
  CaptureTap(CaptureControl& control, CaptureRing& ring) : control_(&control), ring_(&ring) {}

  /// Once a turn: is a capture on?
  bool look(base::Instant now) {
    now_ = now;
    return control_ != nullptr && control_->until_ns.load(std::memory_order_relaxed) > now.ns;
  }
  /// `desc` says what is known about the frame; where it lies is `frame`.
  void record(std::span<const std::byte> frame, const FrameDesc& desc, CaptureWay way,
              std::uint16_t port);
  /// A frame that passed but cannot be shown any more.
  void miss() { ring_->number.fetch_add(1, std::memory_order_relaxed); }

 private:
  std::byte* claim(std::uint64_t bytes);

  CaptureControl* control_ = nullptr;
  CaptureRing* ring_ = nullptr;
  base::Instant now_{};
};

/// The reader's side of one ring. Not thread-safe.
class CaptureReader {
 public:
  explicit CaptureReader(const CaptureRing& ring)
      : ring_(ring),
        at_(ring.written.load(std::memory_order_acquire)),
        expected_(ring.number.load(std::memory_order_acquire)) {}

  /// Copies the next frame's record and bytes (as many as `into` holds). False: nothing new.
  bool next(CaptureRecord& record, std::span<std::byte> into);
  /// Frames that were overwritten before they were read.
  std::uint64_t lost() const { return lost_; }

 private:
  enum class Step : std::uint8_t { kFrame, kSkipped, kNothing };
  Step step(CaptureRecord& record, std::span<std::byte> into);

  const CaptureRing& ring_;
  std::uint64_t at_;
  std::uint64_t expected_;  ///< number of the next frame
  std::uint64_t lost_ = 0;
};

}  // namespace ringway::mem
