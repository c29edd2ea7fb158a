#pragma once

#include <atomic>
#include <cstdint>

namespace ringway::netmap {

/// A lock in memory that processes share; the word is the owner's thread id. A waiter that has been
/// patient looks whether the owner still lives and takes the lock over from a dead one, so what it
/// guards must be sound after every single store of the holder. One compare-exchange to enter, one
/// store to leave. Any thread.
class RingLock {
 public:
  /// False if a living thread holds it.
  bool try_lock();
  /// Waits up to `microseconds` (spinning, then in naps). False: still held by a living thread.
  bool lock(std::uint32_t microseconds);
  void unlock() { word_.store(0, std::memory_order_release); }

 private:
  bool take_from_dead(std::uint32_t owner);
  std::atomic<std::uint32_t> word_;
};

/// In the child after fork: its thread has another id.
void forget_thread_id();
std::uint32_t thread_id();

}  // namespace ringway::netmap
