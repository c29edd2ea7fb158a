// Any header from the kernel, and any descriptor with any frame: what is let through stays within
// the frame.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "driver/tap/vnet_header.h"
#include "fuzz/require.h"

using ringway::fuzz::require;
namespace driver = ringway::driver;
namespace mem = ringway::mem;

namespace {

void check_received(const driver::VnetHeader& header, std::uint32_t length) {
  mem::FrameDesc desc;
  if (!driver::from_vnet(header, length, desc)) return;
  require((desc.flags & (mem::kFrameMore | mem::kFrameInline)) == 0);
  const bool whole = (desc.flags & (mem::kFrameGsoTcp4 | mem::kFrameGsoTcp6)) != 0;
  require(whole == (desc.gso_size != 0));
  if ((desc.flags & mem::kFrameCsumNeeded) != 0) require(desc.l4_offset < length);
}

void check_sent(const driver::VnetHeader& wish, std::span<const std::byte> frame) {
  mem::FrameDesc desc;
  desc.flags = wish.flags;
  desc.gso_size = wish.gso_size;
  desc.length = static_cast<std::uint16_t>(frame.size());
  // The packet may go on in further pieces.
  const std::uint32_t length = static_cast<std::uint32_t>(frame.size()) + wish.hdr_len;
  driver::VnetHeader header;
  if (!driver::to_vnet(desc, frame, length, header)) return;
  mem::FrameDesc back;
  require(driver::from_vnet(header, length, back));
  require(header.hdr_len <= frame.size());
  if ((header.flags & driver::VnetHeader::kNeedsChecksum) != 0) {
    require(header.csum_start + header.csum_offset + 2U <= frame.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  driver::VnetHeader header;
  if (size < sizeof header) return 0;
  std::memcpy(&header, data, sizeof header);
  const auto frame = std::as_bytes(std::span(data, size)).subspan(sizeof header);
  check_received(header, static_cast<std::uint32_t>(frame.size()));
  check_sent(header, frame);
  return 0;
}
