#pragma once

#include <atomic>
#include <cstdint>

#include "ring/barrier.h"

namespace ringway::stack {

/// A scope in which the calling thread reads links of a stack without holding its lock: what is
/// taken down meanwhile stays mapped. Two plain stores; the one who takes down pays (hazard
/// pointers, with membarrier(2) for the fence).
class Looker {
 public:
  Looker() : record_(current_ != nullptr ? *current_ : enlist()) {
    record_.depth.store(record_.depth.load(std::memory_order_relaxed) + 1,
                        std::memory_order_relaxed);
    ring::AsymmetricBarrier::light();
  }
  ~Looker() {
    record_.depth.store(record_.depth.load(std::memory_order_relaxed) - 1,
                        std::memory_order_release);
  }
  Looker(const Looker&) = delete;
  Looker& operator=(const Looker&) = delete;

  /// After something was made invisible: true if a thread may still be looking at it.
  static bool any();
  /// In the child after fork: the parent's other threads are not here.
  static void forget_others();

 private:
  struct Record {
    std::atomic<std::uint32_t> depth{0};
    std::atomic<bool> taken{true};
    Record* next = nullptr;
  };
  struct Enlisted {
    Record* record = nullptr;
    ~Enlisted();
  };

  static Record& enlist();

  static thread_local Record* current_;
  static thread_local Enlisted enlisted_;
  static std::atomic<Record*> all_;

  Record& record_;
};

}  // namespace ringway::stack
