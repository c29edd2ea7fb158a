// Any bytes as a frame: the parser stays inside them, and what it reports lies inside them.
// The first byte chooses the options: trusted checksums, a packet that goes on in further frames.

#include <cstddef>
#include <cstdint>
#include <span>

#include "fuzz/require.h"
#include "wire/icmp.h"
#include "wire/packet_view.h"
#include "wire/tcp.h"

using ringway::fuzz::require;
namespace wire = ringway::wire;

namespace {

void check_view(std::span<const std::byte> frame, const wire::ParseOptions& options,
                const wire::PacketView& view) {
  const std::size_t received =
      options.packet_length > frame.size() ? options.packet_length : frame.size();
  require(view.end <= received);
  require(view.l3_offset <= view.l4_offset && view.l4_offset <= view.payload_offset);
  require(view.payload_offset <= frame.size() && view.payload_offset <= view.end);
  if (!view.is_ip()) return;
  require(view.src.is_v4() == view.is_v4() && view.dst.is_v4() == view.is_v4());
  if (view.is_fragment) {
    require(view.src_port == 0 && view.dst_port == 0);
    require(view.fragment_offset + view.l4_length() <= 0xffff);
    return;
  }
  require(!options.checksums_trusted || view.l4_checksum_ok ||
          view.protocol != wire::Protocol::kTcp);
  if (view.protocol != wire::Protocol::kTcp) return;
  const auto tcp = wire::TcpHeader::parse(frame.subspan(view.l4_offset));
  require(!tcp || (tcp->src_port == view.src_port && tcp->dst_port == view.dst_port &&
                   view.l4_offset + tcp->header_length == view.payload_offset));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto frame = std::as_bytes(std::span(data + 1, size - 1));
  wire::ParseOptions options;
  options.checksums_trusted = (data[0] & 1) != 0;
  options.packet_length = (data[0] & 2) != 0 ? static_cast<std::uint32_t>(size) + 1000 : 0;
  wire::PacketView view;
  const wire::ParseDrop drop = wire::parse_frame(frame, options, view);
  require(drop < wire::ParseDrop::kCount && !wire::name(drop).empty());
  if (drop == wire::ParseDrop::kNone) check_view(frame, options, view);
  return 0;
}
