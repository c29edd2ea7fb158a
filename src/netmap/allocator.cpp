#include "netmap/allocator.h"

#include <algorithm>
#include <cerrno>

#include "netmap/process.h"

namespace ringway::netmap {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint32_t kReservedBuffers = 2;  // 0 means none, 1 is kept back
constexpr Geometry kGlobal{100, 1024, 200, 36864, 163840, 2048};

std::uint64_t pages(std::uint64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

std::atomic<std::uint64_t>* map_of(std::uint32_t allocator, const Pool& pool) {
  return reinterpret_cast<std::atomic<std::uint64_t>*>(at(span_of(allocator) + pool.map));
}

Pool make_pool(std::uint32_t total, std::uint32_t size, std::uint64_t* offset, std::uint64_t* map) {
  Pool pool{size, total, 0, 0, *offset, *map};
  *offset += pages(std::uint64_t{total} * size);
  *map += (total + 63) / 64 * 8;
  return pool;
}

bool is_sane(const Geometry& g) {
  return g.if_size >= 64 && g.if_size <= 4096 && g.ring_size >= 256 + 16 && g.ring_size <= 131072 &&
         g.buf_size >= 64 && g.buf_size <= 65536 && g.if_total > 0 && g.ring_total > 0 &&
         g.buf_total > kReservedBuffers;
}

void ready_global() {
  Allocator& global = registry()->allocators[0];
  if (global.bytes == 0) lay_out(global, kGlobal);
}

void reserve_first_buffers(std::uint32_t index) {
  Pool& bufs = registry()->allocators[index].bufs;
  bufs.used = kReservedBuffers;
  map_of(index, bufs)[0].fetch_or(3);
}

}  // namespace

Geometry least_geometry() { return {4, 1024, 4, 20480, 4098, 2048}; }

Geometry geometry_for(const RingDemand& d) {
  constexpr std::uint32_t kPipes = 2;
  const std::uint32_t tx = d.tx_rings + 1;
  const std::uint32_t rx = d.rx_rings + 1;
  const std::uint32_t slots = std::max(d.tx_slots, d.rx_slots);
  Geometry g = least_geometry();
  g.if_total = 12;
  g.ring_total = std::max(4U, tx + rx + 8 * kPipes);
  g.ring_size = std::max(20480U, (256 + 16 * slots + 63) / 64 * 64);
  const std::uint64_t buffers = std::uint64_t{4 * kPipes + rx} * d.rx_slots +
                                std::uint64_t{4 * kPipes + tx} * d.tx_slots + kReservedBuffers;
  const std::uint64_t room =
      (kSpan - kMapBytes - pages(12 * 1024) - pages(std::uint64_t{g.ring_total} * g.ring_size)) /
      g.buf_size;
  const std::uint64_t wanted = std::max<std::uint64_t>(4098, buffers + d.extra_bufs);
  g.buf_total = static_cast<std::uint32_t>(std::min(wanted, room));
  return g;
}

bool lay_out(Allocator& allocator, const Geometry& g) {
  if (!is_sane(g)) return false;
  std::uint64_t offset = 0;
  std::uint64_t map = kSpan - kMapBytes;
  allocator.ifs = make_pool(g.if_total, g.if_size, &offset, &map);
  allocator.rings = make_pool(g.ring_total, g.ring_size, &offset, &map);
  allocator.bufs = make_pool(g.buf_total, g.buf_size, &offset, &map);
  if (offset > kSpan - kMapBytes || map > kSpan) return false;
  allocator.bytes = offset;
  return true;
}

std::uint32_t find_allocator(std::uint16_t mem_id) {
  if (mem_id == 0 || mem_id > kMaxAllocators) return kNone;
  if (mem_id == 1) {
    ready_global();
    return 0;
  }
  return registry()->allocators[mem_id - 1U].in_use != 0 ? mem_id - 1U : kNone;
}

std::uint32_t make_allocator(const Geometry& geometry, int* error) {
  Registry& r = *registry();
  // Ids go round, so that one is not soon taken for another.
  for (std::uint32_t i = 0; i < kMaxAllocators - 1; ++i) {
    const std::uint32_t index = 1 + (r.next_allocator + i) % (kMaxAllocators - 1);
    Allocator& allocator = r.allocators[index];
    if (allocator.in_use != 0) continue;
    allocator = {};
    if (!lay_out(allocator, geometry)) {
      *error = ENOMEM;
      return 0;
    }
    r.next_allocator = index;
    allocator.is_private = 1;
    hold_allocator(index);
    return index;
  }
  *error = ENOMEM;
  return 0;
}

void hold_allocator(std::uint32_t index) {
  if (index == 0) ready_global();
  Allocator& allocator = registry()->allocators[index];
  if (allocator.in_use++ == 0) reserve_first_buffers(index);
}

void drop_allocator(std::uint32_t index) {
  Allocator& allocator = registry()->allocators[index];
  if (allocator.in_use == 0 || --allocator.in_use != 0) return;
  drop_pages(span_of(index), kSpan);  // the bitmaps with it: all is free again
  if (index == 0) {
    for (Pool* pool : {&allocator.ifs, &allocator.rings, &allocator.bufs}) {
      pool->used = pool->hint = 0;
    }
  } else {
    allocator = {};
  }
}

std::uint32_t take(std::uint32_t allocator, Pool& pool) {
  if (pool.used == pool.total) return kNone;
  auto* words = map_of(allocator, pool);
  const std::uint32_t count = (pool.total + 63) / 64;
  for (std::uint32_t i = 0; i <= count; ++i) {
    const std::uint32_t word = (pool.hint / 64 + i) % count;
    const std::uint64_t free = ~words[word].load(std::memory_order_relaxed);
    if (free == 0) continue;
    const auto number = word * 64 + static_cast<std::uint32_t>(__builtin_ctzll(free));
    if (number >= pool.total) continue;
    words[word].fetch_or(free & -free, std::memory_order_relaxed);
    ++pool.used;
    pool.hint = number;
    return number;
  }
  return kNone;
}

void give(std::uint32_t allocator, Pool& pool, std::uint32_t number) {
  if (number >= pool.total) return;
  const Allocator& owner = registry()->allocators[allocator];
  if (&pool == &owner.bufs && number < kReservedBuffers) return;
  auto& word = map_of(allocator, pool)[number / 64];
  const std::uint64_t bit = std::uint64_t{1} << (number % 64);
  if ((word.fetch_and(~bit, std::memory_order_relaxed) & bit) == 0) return;
  --pool.used;
  pool.hint = number;
}

}  // namespace ringway::netmap
