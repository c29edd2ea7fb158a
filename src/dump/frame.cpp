#include "dump/frame.h"

#include "wire/ipv4.h"
#include "wire/packet_view.h"
#include "wire/tcp.h"
#include "wire/udp.h"

namespace ringway::dump {

bool complete_checksums(Frame& frame) {
  constexpr unsigned kVouched = mem::kFrameCsumNeeded | mem::kFrameCsumOk;
  const mem::CaptureRecord& record = frame.record;
  if ((record.flags & kVouched) == 0) return true;  // as it was on the wire
  if (record.kept < record.length || (record.flags & mem::kFrameMore) != 0) return false;
  const std::span<std::byte> bytes(frame.bytes);
  wire::PacketView view;
  if (wire::parse_frame(bytes, {.checksums_trusted = true}, view) != wire::ParseDrop::kNone ||
      !view.is_ip()) {
    return true;
  }
  if (view.is_v4() && base::load_be16(&bytes[view.l3_offset + 10U]) == 0) {
    base::store_be16(
        &bytes[view.l3_offset + 10U],
        wire::internet_checksum(bytes.subspan(
            view.l3_offset, static_cast<std::size_t>(view.l4_offset - view.l3_offset))));
  }
  if (view.is_fragment) return true;
  const auto l4 = bytes.subspan(view.l4_offset, view.l4_length());
  if (view.protocol == wire::Protocol::kTcp) wire::finish_tcp(l4, view.src, view.dst);
  if (view.protocol == wire::Protocol::kUdp) wire::finish_udp(l4, view.src, view.dst);
  return true;
}

}  // namespace ringway::dump
