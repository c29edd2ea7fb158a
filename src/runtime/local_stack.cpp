#include "runtime/local_stack.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <bit>

#include "base/sys.h"
#include "runtime/impl.h"

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

namespace {

void ring(int bell) {
  const std::uint64_t one = 1;
  base::sys::write(bell, &one, sizeof one);
}

/// What wakes a sleeping thread: its own event fd, or the bell of its process.
int bell_of(const LocalStack& local, const stack::Waiter& waiter) {
  if (waiter.pid == static_cast<std::uint32_t>(getpid())) return waiter.event_fd;
  for (std::uint32_t h = 0; h < stack::kMaxHolders; ++h) {
    const stack::Holder& holder = local.state().holders[h];
    if (holder.used != 0 && holder.pid == waiter.pid && local.holder_bell(h) >= 0)
      return local.holder_bell(h);
  }
  return local.doorbell.get();
}

}  // namespace

void Entry::leave_and_wake() {
  std::array<int, 32> bells;
  std::size_t count = 0;
  // More than fit are rung inside; they are rare, and a bell costs no more there.
  const auto due = [&](int fd) { count < bells.size() ? void(bells[count++] = fd) : ring(fd); };
  stack::Stack& stack = *local_.stack;
  for (const int fd : stack.bells()) due(fd);
  stack.bells().clear();
  for (; wake_ != 0; wake_ &= wake_ - 1) {
    const auto place = static_cast<std::size_t>(std::countr_zero(wake_));
    const stack::Waiter& waiter = local_.state().sockets.waiters[place];
    if (waiter.pid != 0) due(bell_of(local_, waiter));
  }
  const stack::Looker looker;  // keeps the bells open
  stack.end_change();
  local_.state().header.lock.unlock();
  for (std::size_t i = 0; i < count; ++i) ring(bells[i]);
  Inside::leave();
}

void wake_own_waiters(LocalStack& local) {
  const auto self = static_cast<std::uint32_t>(getpid());
  for (const stack::Waiter& waiter : local.state().sockets.waiters) {
    if (waiter.pid == self) ring(waiter.event_fd);
  }
}

void listen_for_bell(LocalStack& local) {
  local.bell_heard.reset();
  const int bell = local.holder_bell(local.holder);
  if (bell < 0) return;
  local.bell_heard = base::UniqueFd(base::sys::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  base::sys::epoll_ctl(local.bell_heard.get(), EPOLL_CTL_ADD, bell, &event);
  // What was rung for others before is no news.
  base::sys::epoll_wait(local.bell_heard.get(), &event, 1, 0);
  local.bell_heard = high_fd(std::move(local.bell_heard));
}

}  // namespace ringway::runtime
