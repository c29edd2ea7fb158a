#pragma once

#include <cstdint>
#include <memory>

#include "base/time.h"

namespace ringway::channel {

/// The timers of one channel: a binary heap of fixed capacity, ordered by time and then by the
/// order of the calls. No allocation after construction.
class Timers {
 public:
  struct Id {
    std::uint32_t slot = 0;  ///< 1 to capacity; 0: none
    std::uint32_t generation = 0;
  };
  struct Due {
    Id id;
    std::uint64_t user_data;
  };

  explicit Timers(std::uint32_t capacity);

  /// Slot 0 when all are in use.
  Id add(base::Instant when, std::uint64_t user_data);
  /// False if it is gone already.
  bool cancel(Id id);
  base::Instant next() const { return count_ == 0 ? base::Instant::never() : heap_[0].when; }
  /// Takes the first. Precondition: next() is not never.
  Due take();

 private:
  struct Node {
    base::Instant when;
    std::uint64_t order;  ///< of the call
    std::uint32_t slot;
  };
  struct Slot {
    std::uint64_t user_data;
    std::uint32_t generation;
    std::uint32_t at;  ///< in the heap; while free: the next free slot
  };

  static bool before(const Node& a, const Node& b) {
    return a.when != b.when ? a.when < b.when : a.order < b.order;
  }
  void put(std::uint32_t at, const Node& node) {
    heap_[at] = node;
    slots_[node.slot].at = at;
  }
  void rise(std::uint32_t at, const Node& node);
  void sink(std::uint32_t at, const Node& node);
  void remove(std::uint32_t at);

  std::uint32_t capacity_;
  std::uint32_t count_ = 0;
  std::uint32_t free_ = 0;
  std::uint32_t high_ = 0;
  std::uint64_t order_ = 0;
  std::unique_ptr<Node[]> heap_;
  std::unique_ptr<Slot[]> slots_;  ///< slot 0 is not used
};

}  // namespace ringway::channel
