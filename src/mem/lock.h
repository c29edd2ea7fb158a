#pragma once

#include <pthread.h>

namespace ringway::mem {

/// The one lock of a stack: a process-shared robust mutex in its arena.
/// Never held beyond one budgeted turn; nobody sleeps, allocates or can be cancelled while holding
/// it.
class StackLock {
 public:
  enum class Outcome {
    kAcquired,
    kOwnerDied,  ///< acquired, but a holder died inside: the state may be torn; poison the stack
    kBusy,       ///< only from try_lock
  };

  /// Once, by the maker of the arena.
  void init();
  /// Spins for a short while (at most about 20 us), then sleeps in the kernel.
  Outcome lock();
  Outcome try_lock();
  void unlock() { pthread_mutex_unlock(&mutex_); }
  /// In the child after fork: the lock as the parent's thread left it belongs to another thread
  /// now. Precondition: the forking thread did not hold it, or unlocks it in both processes.

 private:
  Outcome outcome(int result);

  pthread_mutex_t mutex_;
};

/// Holds the lock for a scope. The caller asks owner_died() before it trusts the state.
class LockGuard {
 public:
  explicit LockGuard(StackLock& lock) : lock_(lock), outcome_(lock.lock()) {}
  ~LockGuard() { lock_.unlock(); }
  LockGuard(const LockGuard&) = delete;
  LockGuard& operator=(const LockGuard&) = delete;
  bool owner_died() const { return outcome_ == StackLock::Outcome::kOwnerDied; }

 private:
  StackLock& lock_;
  StackLock::Outcome outcome_;
};

}  // namespace ringway::mem
