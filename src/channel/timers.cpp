#include "channel/timers.h"

namespace ringway::channel {

Timers::Timers(std::uint32_t capacity)
    : capacity_(capacity), heap_(new Node[capacity]), slots_(new Slot[capacity + 1]{}) {}

Timers::Id Timers::add(base::Instant when, std::uint64_t user_data) {
  std::uint32_t slot = free_;
  if (slot != 0) {
    free_ = slots_[slot].at;
  } else {
    if (high_ == capacity_) return {};
    slot = ++high_;
  }
  slots_[slot].user_data = user_data;
  if (++slots_[slot].generation == 0) slots_[slot].generation = 1;
  rise(count_++, {when, order_++, slot});
  return {slot, slots_[slot].generation};
}

bool Timers::cancel(Id id) {
  if (id.slot == 0 || id.slot > high_ || slots_[id.slot].generation != id.generation) return false;
  remove(slots_[id.slot].at);
  return true;
}

Timers::Due Timers::take() {
  const std::uint32_t slot = heap_[0].slot;
  const Due due{{slot, slots_[slot].generation}, slots_[slot].user_data};
  remove(0);
  return due;
}

void Timers::remove(std::uint32_t at) {
  const std::uint32_t slot = heap_[at].slot;
  const Node last = heap_[--count_];
  if (at != count_) {
    const bool up = at != 0 && before(last, heap_[(at - 1) / 2]);
    up ? rise(at, last) : sink(at, last);
  }
  ++slots_[slot].generation;  // the handle is void from now on
  slots_[slot].at = free_;
  free_ = slot;
}

void Timers::rise(std::uint32_t at, const Node& node) {
  while (at != 0 && before(node, heap_[(at - 1) / 2])) {
    put(at, heap_[(at - 1) / 2]);
    at = (at - 1) / 2;
  }
  put(at, node);
}

void Timers::sink(std::uint32_t at, const Node& node) {
  for (;;) {
    std::uint32_t child = 2 * at + 1;
    if (child >= count_) break;
    if (child + 1 < count_ && before(heap_[child + 1], heap_[child])) ++child;
    if (!before(heap_[child], node)) break;
    put(at, heap_[child]);
    at = child;
  }
  put(at, node);
}

}  // namespace ringway::channel
