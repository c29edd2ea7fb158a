#include "ring/slot_sender.h"

namespace ringway::ring {

bool SlotSender::refresh_consumed() {
  const std::uint32_t consumed = shared_->consumed.load(std::memory_order_acquire);
  // A hostile receiver may write anything: only progress within what was sent counts.
  if (consumed - state_->consumed <= state_->next - state_->consumed) state_->consumed = consumed;
  return state_->next - state_->consumed < kSlots;
}

void SlotSender::collect_returned() {
  const std::uint32_t tail = shared_->return_tail.load(std::memory_order_acquire);
  if (tail - state_->returned > kReturnSlots) {
    ++state_->bad_returns;
    return;
  }
  for (; state_->returned != tail; ++state_->returned) {
    const std::uint32_t frame =
        shared_->returned[state_->returned % kReturnSlots].load(std::memory_order_relaxed);
    const std::uint64_t bit = std::uint64_t{1} << (frame % 64);
    if (frame >= kFrames || (state_->lent[frame / 64] & bit) == 0) {
      ++state_->bad_returns;
      continue;
    }
    state_->lent[frame / 64] &= ~bit;
    give_back(frame);
  }
}

std::uint32_t SlotSender::take_frame(bool small) {
  if (small) {
    if (state_->small_free != 0) return state_->free_small[--state_->small_free];
    if (state_->small_high < kSmallFrames) return state_->small_high++;
    return kNoFrame;
  }
  if (state_->big_free != 0) return state_->free_big[--state_->big_free];
  if (state_->big_high < kBigFrames) return kSmallFrames + state_->big_high++;
  return kNoFrame;
}

SlotSender::Reservation SlotSender::reserve_frame(std::uint32_t length) {
  if (length > kBigFrameBytes) return {};
  const bool small = length <= kSmallFrameBytes;
  // Returned frames are warm: take them back before a fresh one is touched.
  if ((small ? state_->small_free : state_->big_free) == 0) collect_returned();
  std::uint32_t frame = take_frame(small);
  if (frame == kNoFrame && small) frame = take_frame(false);
  if (frame == kNoFrame) return {};
  const std::uint32_t offset = frame < kSmallFrames ? small_colour(frame) : 0;
  return {frame_base(frame) + offset, frame};
}

}  // namespace ringway::ring
