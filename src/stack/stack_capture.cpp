#include "stack/stack_capture.h"

#include <array>
#include <cstring>

#include "stack/capture_layout.h"

namespace ringway::stack {

StackCapture::StackCapture(const mem::Arena& arena) : state_(&arena.as<StackState>()) {
  if (arena.size() < kArenaBytes) return;
  auto* const base = reinterpret_cast<std::byte*>(&arena.as<StackState>());
  area_ = reinterpret_cast<mem::CaptureArea*>(base + kCaptureOffset);
  tap_ = mem::CaptureTap(area_->control, area_->ring);
}

void StackCapture::switch_to(bool on) {
  on_ = on;
  if (!on) return;
  for (std::uint16_t i = 0; i < state_->link_high; ++i) {
    area_->sent[i] = state_->links[i].sender.next;
  }
}

/// Protocols write straight into the ring, where the frames still lie: a slot is not written again
/// before its position is a lap ahead. A frame of the Region may have come back and hold a later
/// one: only the last of those that name it is shown.
void StackCapture::record_sent(const Link& link, std::uint16_t index) {
  const ring::Direction& sent = link.sent();
  const mem::RegionView region = link.sent_region();
  const std::uint32_t end = state_->links[index].sender.next;
  std::uint32_t begin = area_->sent[index];
  area_->sent[index] = end;
  if (end - begin > ring::kSlots) begin = end - ring::kSlots;
  std::array<mem::FrameDesc, ring::kSlots> descs;
  std::array<std::uint64_t, ring::kFrames / 64> later{};
  std::array<bool, ring::kSlots> overwritten{};
  for (std::uint32_t at = end; at != begin; --at) {
    const std::uint32_t i = at - 1 - begin;
    const ring::Slot& slot = sent.slots[(at - 1) % ring::kSlots];
    mem::FrameDesc& desc = descs[i];
    desc = {};
    desc.flags = slot.flags;
    desc.length = slot.length;
    desc.l4_offset = slot.l4_offset;
    if ((desc.flags & mem::kFrameInline) != 0) continue;
    std::memcpy(&desc, slot.data.data(), sizeof desc);  // the peer could have changed it
    const bool there = region.contains(desc.slot, desc.offset, desc.length);
    const std::uint64_t bit = std::uint64_t{1} << (desc.slot % 64);
    overwritten[i] = !there || (later[desc.slot / 64 % later.size()] & bit) != 0;
    if (there) later[desc.slot / 64] |= bit;
  }
  for (std::uint32_t i = 0; i < end - begin; ++i) {
    const mem::FrameDesc& desc = descs[i];
    const bool inlined = (desc.flags & mem::kFrameInline) != 0;
    if (overwritten[i] || (inlined && desc.length > ring::Slot::kInlineBytes)) {
      tap_.miss();
      continue;
    }
    const std::byte* data = inlined ? sent.slots[(begin + i) % ring::kSlots].data.data()
                                    : region.slot(desc.slot) + desc.offset;
    tap_.record({data, desc.length}, desc, mem::CaptureWay::kOut, index);
  }
}

}  // namespace ringway::stack
