#pragma once

#include <cstdint>

#include "netmap/registry.h"

/// Moving packets between a program's ring and its port.
namespace ringway::netmap {

enum class Sync {
  kDone,
  kSkipped,  ///< another thread is at it
  kBad,      ///< the program's pointers were wrong, or the port refuses: poll tells POLLERR
};

Sync sync_tx(Kring& kring);
/// `stamp`: sets the ring's time.
Sync sync_rx(Kring& kring, bool stamp);

/// Would a sync find something new? Reads two words, takes no lock.
bool has_news(const Kring& kring);

// --- vale.cpp
/// Switches the slots [hwcur, head) of a port's ring.
void forward(Kring& kring, std::uint32_t head);

// --- pipe.cpp
void pipe_tx(Kring& kring, std::uint32_t head);
void pipe_rx(Kring& kring, std::uint32_t head);

// --- device.cpp
/// Moves [hwcur, head) to the device; false if it is not this process's.
bool device_tx(Kring& kring, std::uint32_t head);
bool device_rx(Kring& kring, std::uint32_t head);

}  // namespace ringway::netmap
