#include "ip/neighbour_cache.h"

namespace ringway::ip {

std::uint32_t NeighbourCache::find(std::uint8_t interface, const base::IpAddress& address) const {
  std::uint32_t i = buckets_[bucket(interface, address)];
  while (i != 0 && (slab_[i].interface != interface || slab_[i].address != address)) {
    i = slab_[i].hash_next;
  }
  return i;
}

std::uint32_t NeighbourCache::create(std::uint8_t interface, const base::IpAddress& address,
                                     Evicted& evicted) {
  evicted.happened = slab_.in_use() == kCapacity;
  if (evicted.happened) {
    evicted.neighbour = slab_[oldest_];
    remove(oldest_);
  }
  const std::uint32_t i = slab_.allocate();
  Neighbour& n = slab_[i];
  n.address = address;
  n.interface = interface;
  n.deadline = base::Instant::never();
  std::uint32_t& head = buckets_[bucket(interface, address)];
  n.hash_next = head;
  head = i;
  link_newest(i);
  return i;
}

void NeighbourCache::remove(std::uint32_t index) {
  const Neighbour& n = slab_[index];
  std::uint32_t* link = &buckets_[bucket(n.interface, n.address)];
  while (*link != index) link = &slab_[*link].hash_next;
  *link = n.hash_next;
  unlink_lru(index);
  slab_.free(index);
}

void NeighbourCache::touch(std::uint32_t index) {
  if (newest_ == index) return;
  unlink_lru(index);
  link_newest(index);
}

void NeighbourCache::unlink_lru(std::uint32_t index) {
  const Neighbour& n = slab_[index];
  (n.older != 0 ? slab_[n.older].newer : oldest_) = n.newer;
  (n.newer != 0 ? slab_[n.newer].older : newest_) = n.older;
}

void NeighbourCache::link_newest(std::uint32_t index) {
  slab_[index].older = newest_;
  slab_[index].newer = 0;
  (newest_ != 0 ? slab_[newest_].newer : oldest_) = index;
  newest_ = index;
}

void NeighbourCache::find_earliest() {
  base::Instant earliest = base::Instant::never();
  for (std::uint32_t i = oldest_; i != 0; i = slab_[i].newer) {
    if (slab_[i].deadline < earliest) earliest = slab_[i].deadline;
  }
  earliest_plus_1_ = earliest.is_never() ? 0 : earliest.ns + 1;
}

}  // namespace ringway::ip
