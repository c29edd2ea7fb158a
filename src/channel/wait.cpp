// Waiting: within the lock, outside of it, asleep.

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "base/relax.h"
#include "channel/core.h"
#include "runtime/attendance.h"

namespace ringway {

using base::Duration;
using base::Instant;
using runtime::Entry;

namespace {

/// Before the runtime takes over, which spins more gently and then sleeps.
constexpr Duration kSpin = Duration::microseconds(20);

}  // namespace

int Channel::Core::wait(std::span<Completion> out, std::size_t least, Instant deadline) {
  least = std::min(least, out.size());
  std::size_t count = 0;
  for (;;) {
    count += work(out.subspan(count), least - count);
    if (count >= least) return static_cast<int>(count);
    if (spin(deadline)) continue;
    if (now_ >= deadline) return static_cast<int>(count);
    if (!sleep(deadline)) return count != 0 ? static_cast<int>(count) : -EINTR;
  }
}

bool Channel::Core::spin(Instant deadline) {
  refresh();
  for (const Instant end = std::min(deadline, now_ + kSpin); now_ < end; refresh()) {
    for (int i = 0; i < 32; ++i) {
      if (news()) return true;
      base::relax();
    }
    if (overdue()) return true;
  }
  return false;
}

/// False: a signal came.
bool Channel::Core::sleep(Instant deadline) {
  std::array<epoll_event, 64> events;
  const int n = impl_.set_wait(set_id_, events, {}, std::min(deadline, timers_.next()), nullptr);
  for (int i = 0; i < n; ++i) {
    make_ready(static_cast<std::uint32_t>(events[static_cast<std::size_t>(i)].data.u64));
  }
  refresh();
  return n != -EINTR;
}

int Channel::Core::arm(Clock::time_point* deadline) {
  refresh();
  if (waiter_ != stack::kMaxWaiters) rise();
  if (news()) return -EAGAIN;
  Entry entry(*local_, now_);
  stack::SocketTables& tables = local_->state().sockets;
  const auto waiter = static_cast<std::uint32_t>(std::countr_one(tables.waiters_in_use));
  const bool stay = local_->stack->has_unmapped_links() || tcp().has_output() || tcp().blocked();
  if (stay || waiter == stack::kMaxWaiters) return -EAGAIN;
  if (!runtime::Attendance::of_waiter(waiter).begin(*local_)) return -EAGAIN;
  local_->state().sleep_until_ns = local_->stack->next_deadline().ns;
  waiter_ = waiter;
  tables.waiters_in_use |= std::uint64_t{1} << waiter;
  tables.waiters[waiter] = {static_cast<std::uint32_t>(pid_), local_->doorbell.get()};
  entry.sockets().sets().mark_waiter(set_, std::uint64_t{1} << waiter, true);
  const Instant at = std::min(local_->stack->next_deadline(), timers_.next());
  if (deadline != nullptr) {
    *deadline = at.is_never() ? kNever : Clock::time_point(std::chrono::nanoseconds(at.ns));
  }
  return local_->doorbell.get();
}

void Channel::Core::rise() {
  {
    Entry entry(*local_, now_);
    stack::SocketTables& tables = local_->state().sockets;
    entry.sockets().sets().mark_waiter(set_, std::uint64_t{1} << waiter_, false);
    tables.waiters_in_use &= ~(std::uint64_t{1} << waiter_);
    tables.waiters[waiter_] = {};
    runtime::Attendance::of_waiter(waiter_).end(*local_, true);
  }
  waiter_ = stack::kMaxWaiters;
  impl_.keeper().expect_absence();
}

}  // namespace ringway
