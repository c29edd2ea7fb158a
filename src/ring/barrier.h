#pragma once

#include <atomic>

namespace ringway::ring {

/// Store/load ordering between senders ("publish, then look whether the receiver sleeps") and
/// receivers
/// ("say that I sleep, then look at the rings"). The rare side pays: a receiver about to sleep
/// issues membarrier(2), so that senders need only a compiler barrier. Where membarrier is missing,
/// senders fence.
class AsymmetricBarrier {
 public:
  /// Once per process, and again in a child after fork. Not needed for correctness of senders.
  static void enrol();
  /// On the sender's side, between publishing and reading the receiver's state.
  static void light() {
    if (enrolled_.load(std::memory_order_relaxed)) {
      std::atomic_signal_fence(std::memory_order_seq_cst);
    } else {
      std::atomic_thread_fence(std::memory_order_seq_cst);
    }
  }
  /// On the receiver's side, between saying that it sleeps and the last look. False: this process
  /// has no membarrier, this was but its own fence; do not rely on more than marks (which fence on
  /// both sides), or do not sleep longer than a tick.
  static bool heavy();
  static bool enrolled() { return enrolled_.load(std::memory_order_relaxed); }

 private:
  static std::atomic<bool> enrolled_;
};

}  // namespace ringway::ring
