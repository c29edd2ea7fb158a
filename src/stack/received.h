#pragma once

#include <cstddef>
#include <cstdint>

#include "mem/frame_desc.h"

namespace ringway::stack {

/// A frame on its way up through the stack.
struct Received {
  std::byte* data;
  std::uint32_t length;
  mem::FrameDesc desc;
  mem::FrameRef frame;
  bool must_copy;
  bool taken;
};

/// A transport header and its payload: where, how far into the frame, how long.
struct L4 {
  const std::byte* data;
  std::uint32_t offset;
  std::uint32_t length;
};

}  // namespace ringway::stack
