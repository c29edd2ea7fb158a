// Any bytes as a TCP header: what parses is emitted again and then parses to the same.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "fuzz/require.h"
#include "wire/tcp.h"

using ringway::fuzz::require;
namespace wire = ringway::wire;

namespace {

void check_same(const wire::TcpHeader& a, const wire::TcpHeader& b) {
  require(a.src_port == b.src_port && a.dst_port == b.dst_port && a.seq == b.seq && a.ack == b.ack);
  require(a.flags == b.flags && a.window == b.window && a.urgent == b.urgent);
  const wire::TcpOptions& x = a.options;
  const wire::TcpOptions& y = b.options;
  require(x.has_mss == y.has_mss && x.mss == y.mss);
  require(x.has_window_scale == y.has_window_scale && x.window_scale == y.window_scale);
  require(x.has_timestamps == y.has_timestamps && x.timestamp_value == y.timestamp_value);
  require(x.timestamp_echo == y.timestamp_echo && x.sack_permitted == y.sack_permitted);
  require(x.sack_count == y.sack_count);
  for (std::size_t i = 0; i < x.sack_count; ++i) require(x.sack[i] == y.sack[i]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  auto header = wire::TcpHeader::parse(bytes);
  if (!header) return 0;
  require(header->header_length <= size &&
          header->options.sack_count <= wire::TcpOptions::kMaxSackBlocks);
  require(!header->options.has_window_scale || header->options.window_scale <= 14);
  // A peer may fill its options to the last byte without padding; aligned, ours may not fit then.
  if (header->options.size() > wire::TcpOptions::kMaxSize) return 0;
  std::array<std::byte, wire::TcpHeader::kMaxSize> out{};
  header->emit(out.data());
  const auto back = wire::TcpHeader::parse(std::span(out).first(header->emitted_size()));
  require(back.has_value());
  check_same(*header, *back);
  return 0;
}
