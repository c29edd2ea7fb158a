#pragma once

#include <linux/futex.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

struct robust_list_head;

namespace ringway::mem {

/// The one lock of a stack: a robust futex in its arena, shared by processes.
///
/// It is a mutex of the kernel's robust kind: the word holds the owner's thread id, and while a
/// thread takes, holds or leaves it, the lock is the pending entry of the thread's robust list
/// (which libc registers), so that the kernel marks it when the thread dies. One compare-exchange
/// to enter, one exchange to leave; see docs/decisions. A thread inside one stack may enter a
/// second one (fork takes them all): then only the last is pending, and the others are found by
/// their owner's death within a slow waiter's patience.
///
/// Never held beyond one budgeted turn; nobody sleeps, allocates or can be cancelled while holding
/// it.
class StackLock {
 public:
  enum class Outcome {
    kAcquired,
    kOwnerDied,  ///< acquired, but a holder died inside: the state may be torn; poison the stack
    kBusy,       ///< only from try_lock
  };

  /// Spins for a short while (at most about 20 us), then sleeps in the kernel.
  Outcome lock() {
    const Self self = this_thread();
    *self.pending = &node_;
    std::uint32_t expected = 0;
    if (word_.compare_exchange_strong(expected, self.id, std::memory_order_acquire)) [[likely]] {
      return Outcome::kAcquired;
    }
    return lock_slowly(self);
  }
  Outcome try_lock();
  void unlock() {
    const std::uint32_t before = word_.exchange(0, std::memory_order_release);
    *this_thread().pending = nullptr;
    if ((before & FUTEX_WAITERS) != 0) [[unlikely]]
      wake_one();
  }
  /// In the child after fork: its thread has another id than the one that was remembered.
  static void forget_thread();

 private:
  struct Self {
    std::uint32_t id;
    void** pending;  ///< list_op_pending of the thread's robust list
  };
  struct ThreadCache {
    std::uint32_t id = 0;
    void** pending = nullptr;
  };

  static Self this_thread() {
    if (thread_.id == 0) [[unlikely]]
      look_up_thread();
    return {thread_.id, thread_.pending};
  }
  static void look_up_thread();
  Outcome lock_slowly(Self self);
  /// Takes the lock over from a dead thread; false if it is alive or somebody else was faster.
  bool take_over(Self self, std::uint32_t seen);
  void wake_one();

  static thread_local ThreadCache thread_;

  // libc registers its robust lists with the futex word 32 bytes before the list entry.
  std::atomic<std::uint32_t> word_;
  std::uint32_t padding_[7];
  void* node_;
};
static_assert(sizeof(StackLock) == 40);

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
