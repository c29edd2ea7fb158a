#pragma once

#include <cstdint>

#include "base/result.h"
#include "netmap/registry.h"

/// Memory of netmap objects. The caller holds the registry's lock.
namespace ringway::netmap {

/// Counts and sizes of objects, as a program may ask for them.
struct Geometry {
  std::uint32_t if_total, if_size;
  std::uint32_t ring_total, ring_size;
  std::uint32_t buf_total, buf_size;
};

/// What a private allocator for rings of these sizes needs, with room for two pipes.
struct RingDemand {
  std::uint32_t tx_rings, rx_rings, tx_slots, rx_slots, extra_bufs;
};
Geometry geometry_for(const RingDemand& demand);
Geometry least_geometry();

/// Index of the allocator that programs call by `mem_id`; kNone if there is none.
std::uint32_t find_allocator(std::uint16_t mem_id);
inline std::uint16_t mem_id_of(std::uint32_t allocator) {
  return static_cast<std::uint16_t>(allocator + 1);
}
/// A fresh private one with one reference. 0: none (ENOMEM, or EINVAL for a bad geometry, in
/// `error`).
std::uint32_t make_allocator(const Geometry& geometry, int* error);
void hold_allocator(std::uint32_t allocator);
/// With the last reference its memory goes back to the system.
void drop_allocator(std::uint32_t allocator);
/// Lays the pools out over `allocator`; false if they do not fit.
bool lay_out(Allocator& allocator, const Geometry& geometry);

/// An object: its number, kNone if all are in use.
std::uint32_t take(std::uint32_t allocator, Pool& pool);
/// Numbers out of range, and objects that are free already, are ignored.
void give(std::uint32_t allocator, Pool& pool, std::uint32_t number);

}  // namespace ringway::netmap
