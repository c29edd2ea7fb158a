// Any bytes as ARP, ICMP errors with their quotation, and neighbour discovery. The first byte
// chooses.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "fuzz/require.h"
#include "wire/arp.h"
#include "wire/icmp.h"
#include "wire/nd.h"

using ringway::fuzz::require;
namespace wire = ringway::wire;

namespace {

// What parses is emitted again, parses again, and is then the same byte for byte.
template <typename Message>
void check_round_trip(std::span<const std::byte> bytes) {
  const auto message = Message::parse(bytes);
  if (!message) return;
  std::vector<std::byte> once(message->size());
  message->emit(once.data());
  const auto back = Message::parse(once);
  require(back.has_value() && back->size() == once.size());
  std::vector<std::byte> twice(back->size());
  back->emit(twice.data());
  require(once == twice);
}

void check_arp(std::span<const std::byte> bytes) {
  const auto packet = wire::ArpPacket::parse(bytes);
  if (!packet) return;
  std::vector<std::byte> out(wire::ArpPacket::kSize);
  packet->emit(out.data());
  require(std::memcmp(out.data(), bytes.data(), out.size()) == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  switch (data[0] % 6) {
    case 0:
      check_arp(bytes);
      break;
    case 1:
      if (const auto quoted = wire::QuotedPacket::parse(bytes)) {
        require(quoted->src.is_v4() == quoted->dst.is_v4());
      }
      break;
    case 2:
      check_round_trip<wire::NeighborSolicitation>(bytes);
      break;
    case 3:
      check_round_trip<wire::NeighborAdvertisement>(bytes);
      break;
    case 4:
      check_round_trip<wire::RouterSolicitation>(bytes);
      break;
    default:
      check_round_trip<wire::RouterAdvertisement>(bytes);
      break;
  }
  return 0;
}
