#pragma once

#include <cstdint>

#include "base/time.h"
#include "mem/arena.h"
#include "mem/capture.h"
#include "stack/link.h"

namespace ringway::stack {

struct StackState;

/// What `ringway dump` gets to see of a stack: the frames that links bring, and those that are
/// written into them. Process-local, one per view of an arena. Needs the stack's lock.
class StackCapture {
 public:
  StackCapture() = default;
  /// An arena of a stack that has no CaptureArea is never captured.
  explicit StackCapture(const mem::Arena& arena);

  /// Somebody looks on.
  bool on() const { return on_; }
  /// Once a turn.
  void look(base::Instant now) {
    if (tap_.look(now) != on_) [[unlikely]]
      switch_to(!on_);
  }
  /// A new link: nothing was written into it yet.
  void begin(std::uint16_t link) {
    if (area_ != nullptr) area_->sent[link] = 0;
  }
  void record_received(const ring::SlotReceiver::Frame& frame, std::uint16_t link) {
    tap_.record({frame.data, frame.desc.length}, frame.desc, mem::CaptureWay::kIn, link);
  }
  /// Everything that was written into a link since it was last looked at.
  void record_sent(const Link& link, std::uint16_t index);

 private:
  void switch_to(bool on);

  const StackState* state_ = nullptr;
  mem::CaptureArea* area_ = nullptr;
  mem::CaptureTap tap_;
  bool on_ = false;
};

}  // namespace ringway::stack
