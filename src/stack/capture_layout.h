#pragma once

#include <cstddef>

#include "mem/capture.h"
#include "stack/state.h"

namespace ringway::stack {

/// Where the arena of a stack has its CaptureArea.
inline constexpr std::size_t kCaptureOffset = sizeof(StackState);
static_assert(kCaptureOffset % alignof(mem::CaptureArea) == 0);
inline constexpr std::size_t kArenaBytes = kCaptureOffset + sizeof(mem::CaptureArea);
static_assert(mem::CaptureArea::kMostPorts == kMaxLinks);

}  // namespace ringway::stack
