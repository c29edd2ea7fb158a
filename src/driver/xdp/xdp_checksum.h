#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace ringway::driver::xdp {

/// Where a transport checksum is computed: from `start` on, into the field at start + offset.
struct ChecksumPlace {
  std::uint16_t start = 0;
  std::uint16_t offset = 0;
};

/// True if the TCP or UDP checksum field of this frame holds the pseudo header's sum alone: a
/// kernel on this machine left the rest to a device, and none was on the way. A frame that was
/// damaged on a wire passes for one with the probability with which it passes any checksum.
bool checksum_unfinished(std::span<const std::byte> frame);

/// Writes the pseudo header's sum into the checksum field of a TCP or UDP packet of `length` bytes
/// whose headers are in `head`, as the kernel wants it of frames to be finished (CHECKSUM_PARTIAL).
/// Nothing if it is no such packet.
std::optional<ChecksumPlace> prepare_checksum(std::span<std::byte> head, std::uint32_t length);

}  // namespace ringway::driver::xdp
