#pragma once

#include <cstdint>

#include "netmap/registry.h"

/// Monitors: ports that see the traffic of another port's rings.
namespace ringway::netmap {

// With the registry's lock:
void start_monitor(std::uint32_t port);
void stop_monitor(std::uint32_t port);
/// The rings of `port` are gone: its monitors have nothing to look at any more.
void orphan_monitors(std::uint32_t port);

inline bool is_watched(const Kring& kring) {
  return kring.monitors.load(std::memory_order_relaxed) != 0;
}
/// Slots [from, to) of `slots_of` go through `ring`: copy monitors see them. `extra` goes into the
/// flags. The caller holds what keeps the slots still.
void show_copies(const Kring& ring, const Kring& slots_of, std::uint32_t from, std::uint32_t to);
/// Slots [from, to) of `ring` are done with: the first zero-copy monitor takes their buffers and
/// leaves its own, further ones copy.
void show_used(Kring& ring, std::uint32_t from, std::uint32_t to);

}  // namespace ringway::netmap
