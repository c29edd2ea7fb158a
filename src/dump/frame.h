#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mem/capture.h"

namespace ringway::dump {

/// One captured frame on its way to a file or a terminal.
struct Frame {
  mem::CaptureRecord record;     ///< `kept` is bytes.size()
  std::vector<std::byte> bytes;  ///< from the Ethernet header on
  std::uint32_t source = 0;      ///< which program or port it comes from
  std::int64_t unix_ns = 0;
};

/// Writes the checksums that memory does not need and a reader expects: those that the sender left
/// out or that the port vouches for. Nothing is changed in a frame that was cut, is a fragment or
/// is no IP. True if the checksums of the frame are now what they claim.
bool complete_checksums(Frame& frame);

}  // namespace ringway::dump
