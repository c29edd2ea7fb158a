#include "bench/runner/packet_cases.h"

#include <algorithm>
#include <array>

namespace ringway::bench {
namespace {

constexpr std::array kCases{
    PacketCase{"link-64", "frames of 64 bytes between two processes, batch 32", "link --size 64",
               "net_memif zero-copy", "memif --size 64", 3},
    PacketCase{"link-1500", "frames of 1500 bytes between two processes, batch 32",
               "link --size 1500", "net_memif zero-copy", "memif --size 1500", 1.5},
    PacketCase{"ring", "pointers between two threads, 32 at a time", "ring", "rte_ring SP/SC",
               "ring", 1},
    PacketCase{"pool", "32 frames taken and given back", "pool", "rte_mempool with cache", "pool",
               1},
};

}  // namespace

std::span<const PacketCase> packet_cases() { return kCases; }

const PacketCase* find_packet_case(const std::string& name) {
  const auto found = std::find_if(kCases.begin(), kCases.end(),
                                  [&](const PacketCase& one) { return name == one.name; });
  return found == kCases.end() ? nullptr : &*found;
}

}  // namespace ringway::bench
