#include "driver/tap/vnet_header.h"

#include "base/bytes.h"
#include "wire/packet_view.h"

namespace ringway::driver {
namespace {

constexpr std::uint8_t kGso = mem::kFrameGsoTcp4 | mem::kFrameGsoTcp6;

/// Where the checksum field lies in the transport header; 0: no protocol that a port knows.
std::uint16_t checksum_offset(wire::Protocol protocol) {
  switch (protocol) {
    case wire::Protocol::kTcp:
      return 16;
    case wire::Protocol::kUdp:
      return 6;
    case wire::Protocol::kIcmpv6:
      return 2;
    default:
      return 0;
  }
}

bool to_gso(const mem::FrameDesc& desc, const wire::PacketView& view,
            std::span<const std::byte> head, std::uint32_t length, VnetHeader& header) {
  if (desc.gso_size == 0 || view.protocol != wire::Protocol::kTcp ||
      view.is_v4() != ((desc.flags & mem::kFrameGsoTcp4) != 0)) {
    return false;
  }
  const std::size_t tcp_length = std::size_t{base::load_u8(head.data() + view.l4_offset + 12)} >> 4;
  header.hdr_len = static_cast<std::uint16_t>(view.l4_offset + tcp_length * 4);
  if (header.hdr_len > head.size()) return false;
  // A packet that needs no cutting is an ordinary one.
  if (length - header.hdr_len <= desc.gso_size) return true;
  header.gso_type = view.is_v4() ? VnetHeader::kGsoTcp4 : VnetHeader::kGsoTcp6;
  header.gso_size = desc.gso_size;
  return true;
}

}  // namespace

bool to_vnet(const mem::FrameDesc& desc, std::span<const std::byte> head, std::uint32_t length,
             VnetHeader& header) {
  header = {};
  if ((desc.flags & (mem::kFrameCsumNeeded | kGso)) == 0) return true;
  // The kernel cuts only what it also sums up.
  if ((desc.flags & mem::kFrameCsumNeeded) == 0) return false;
  wire::PacketView view;
  const wire::ParseOptions options{.checksums_trusted = true, .packet_length = length};
  if (wire::parse_frame(head, options, view) != wire::ParseDrop::kNone || !view.is_ip() ||
      view.is_fragment) {
    return false;
  }
  const std::uint16_t field = checksum_offset(view.protocol);
  if (field == 0 || view.l4_offset + field + 2U > head.size()) return false;
  header.flags = VnetHeader::kNeedsChecksum;
  header.csum_start = view.l4_offset;
  header.csum_offset = field;
  return (desc.flags & kGso) == 0 || to_gso(desc, view, head, length, header);
}

bool from_vnet(const VnetHeader& header, std::uint32_t length, mem::FrameDesc& desc) {
  if ((header.flags & VnetHeader::kNeedsChecksum) != 0) {
    if (std::uint32_t{header.csum_start} + header.csum_offset + 2 > length) return false;
    // Nothing has touched the bytes since the sender's kernel would have summed them up.
    desc.flags |= mem::kFrameCsumOk | mem::kFrameCsumNeeded;
    if (header.csum_start <= UINT8_MAX) {
      desc.l4_offset = static_cast<std::uint8_t>(header.csum_start);
    }
  } else if ((header.flags & VnetHeader::kDataValid) != 0) {
    desc.flags |= mem::kFrameCsumOk;
  }
  const int type = header.gso_type & ~VnetHeader::kGsoEcn;
  if (type == VnetHeader::kGsoNone) return true;
  if ((type != VnetHeader::kGsoTcp4 && type != VnetHeader::kGsoTcp6) || header.gso_size == 0 ||
      (header.flags & VnetHeader::kNeedsChecksum) == 0) {
    return false;
  }
  desc.flags |= type == VnetHeader::kGsoTcp4 ? mem::kFrameGsoTcp4 : mem::kFrameGsoTcp6;
  desc.gso_size = header.gso_size;
  return true;
}

}  // namespace ringway::driver
