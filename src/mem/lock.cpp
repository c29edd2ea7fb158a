#include "mem/lock.h"

#include <fcntl.h>
#include <immintrin.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

namespace ringway::mem {

namespace {

/// How long a waiter sleeps before it looks whether the owner still lives.
constexpr timespec kPatience{0, 10'000'000};

/// True if no thread has this id any more, or only a zombie that its parent has not reaped: a
/// process killed while it forks leaves every lock but the last to be found out here.
bool is_gone(std::uint32_t thread) {
  if (kill(static_cast<pid_t>(thread), 0) != 0) return errno == ESRCH;
  char path[32];
  snprintf(path, sizeof path, "/proc/%u/stat", thread);
  const long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  // "pid (name) state ...": the name has at most 15 characters, any of them a bracket.
  char text[64] = {};
  const long length = syscall(SYS_read, fd, text, sizeof text - 1);
  syscall(SYS_close, fd);
  const char* end = length > 0 ? strrchr(text, ')') : nullptr;
  return end != nullptr && (end[2] == 'Z' || end[2] == 'X');
}

/// Where the pending entry goes if libc's list is not laid out as expected.
thread_local void* no_list = nullptr;

}  // namespace

thread_local StackLock::ThreadCache StackLock::thread_;

void StackLock::forget_thread() { thread_ = {}; }

void StackLock::look_up_thread() {
  thread_.id = static_cast<std::uint32_t>(syscall(SYS_gettid));
  robust_list_head* head = nullptr;
  std::size_t length = 0;
  const bool known = syscall(SYS_get_robust_list, 0, &head, &length) == 0 && head != nullptr &&
                     head->futex_offset == -static_cast<long>(offsetof(StackLock, node_));
  thread_.pending = known ? reinterpret_cast<void**>(&head->list_op_pending) : &no_list;
}

StackLock::Outcome StackLock::try_lock() {
  const Self self = this_thread();
  *self.pending = &node_;
  std::uint32_t expected = 0;
  if (word_.compare_exchange_strong(expected, self.id, std::memory_order_acquire)) {
    return Outcome::kAcquired;
  }
  if ((expected & FUTEX_OWNER_DIED) != 0 && take_over(self, expected)) return Outcome::kOwnerDied;
  *self.pending = nullptr;
  return Outcome::kBusy;
}

bool StackLock::take_over(Self self, std::uint32_t seen) {
  return word_.compare_exchange_strong(seen, self.id | FUTEX_WAITERS, std::memory_order_acquire);
}

StackLock::Outcome StackLock::lock_slowly(Self self) {
  // About 20 us of pauses: a turn is shorter, so the holder is most likely running and about to
  // leave.
  for (int i = 0; i < 400; ++i) {
    std::uint32_t seen = word_.load(std::memory_order_relaxed);
    if (seen == 0 && word_.compare_exchange_strong(seen, self.id, std::memory_order_acquire)) {
      return Outcome::kAcquired;
    }
    for (int pause = 0; pause < 8; ++pause) _mm_pause();
  }
  for (;;) {
    std::uint32_t seen = word_.load(std::memory_order_relaxed);
    if (seen == 0) {
      // Others may sleep: whoever takes it from here on has to wake one.
      if (word_.compare_exchange_strong(seen, self.id | FUTEX_WAITERS, std::memory_order_acquire)) {
        return Outcome::kAcquired;
      }
      continue;
    }
    if ((seen & FUTEX_OWNER_DIED) != 0) {
      if (take_over(self, seen)) return Outcome::kOwnerDied;
      continue;
    }
    const std::uint32_t awaited = seen | FUTEX_WAITERS;
    if (seen != awaited && !word_.compare_exchange_strong(seen, awaited)) continue;
    const long waited = syscall(SYS_futex, &word_, FUTEX_WAIT, awaited, &kPatience, nullptr, 0);
    const bool owner_gone = waited != 0 && errno == ETIMEDOUT && is_gone(awaited & FUTEX_TID_MASK);
    if (owner_gone && take_over(self, awaited)) return Outcome::kOwnerDied;
  }
}

void StackLock::wake_one() { syscall(SYS_futex, &word_, FUTEX_WAKE, 1, nullptr, nullptr, 0); }

}  // namespace ringway::mem
