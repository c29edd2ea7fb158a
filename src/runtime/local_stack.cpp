#include "runtime/local_stack.h"

#include <unistd.h>

#include <array>
#include <bit>

#include "base/sys.h"

namespace ringway::runtime {

thread_local int Inside::depth = 0;
thread_local bool Inside::deferred = false;
thread_local volatile std::uint32_t Inside::signals = 0;
thread_local volatile int Inside::bell = -1;
std::atomic<void (*)()> Inside::hook{nullptr};

void Inside::run_deferred() {
  deferred = false;
  if (auto* run = hook.load(std::memory_order_acquire)) run();
}

void Entry::leave_and_wake() {
  stack::Stack& stack = *local_.stack;
  std::array<int, 16> bells;
  std::size_t count = 0;
  for (const int fd : stack.bells()) {
    // More than fit are rung inside; they are rare, and a bell costs no more there.
    if (count < bells.size()) {
      bells[count++] = fd;
    } else {
      const std::uint64_t one = 1;
      base::sys::write(fd, &one, sizeof one);
    }
  }
  stack.bells().clear();
  const stack::Looker looker;  // keeps the bells open
  local_.state().header.lock.unlock();
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t one = 1;
    base::sys::write(bells[i], &one, sizeof one);
  }
  if (wake_ != 0) wake_waiters(local_, wake_);
  Inside::leave();
}

namespace {

void ring_holder(LocalStack& local, std::uint32_t pid) {
  const std::uint64_t one = 1;
  int bell = local.doorbell.get();
  for (std::uint32_t h = 0; h < stack::kMaxHolders; ++h) {
    const stack::Holder& holder = local.state().holders[h];
    if (holder.used != 0 && holder.pid == pid && local.holder_bell(h) >= 0)
      bell = local.holder_bell(h);
  }
  base::sys::write(bell, &one, sizeof one);
}

}  // namespace

void wake_own_waiters(LocalStack& local) {
  const auto self = static_cast<std::uint32_t>(getpid());
  const std::uint64_t one = 1;
  for (const stack::Waiter& waiter : local.state().sockets.waiters) {
    if (waiter.pid == self) base::sys::write(waiter.event_fd, &one, sizeof one);
  }
}

void wake_waiters(LocalStack& local, std::uint64_t mask) {
  const auto self = static_cast<std::uint32_t>(getpid());
  const std::uint64_t one = 1;
  for (; mask != 0; mask &= mask - 1) {
    const stack::Waiter waiter =
        local.state().sockets.waiters[static_cast<std::size_t>(std::countr_zero(mask))];
    if (waiter.pid == self) {
      base::sys::write(waiter.event_fd, &one, sizeof one);
    } else if (waiter.pid != 0) {
      ring_holder(local, waiter.pid);
    }
  }
}

}  // namespace ringway::runtime
