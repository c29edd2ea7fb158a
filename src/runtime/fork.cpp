// fork and the death of other holders.

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>

#include "base/sys.h"
#include "ring/barrier.h"
#include "runtime/attendance.h"
#include "runtime/impl.h"

namespace ringway::runtime {

namespace {

/// Gives `to` every hold of `from`; returns nothing to undo but clear_holder().
void copy_holds(stack::StackState& state, std::uint64_t from, std::uint64_t to) {
  auto& sockets = state.sockets.sockets;
  for (std::uint32_t i = 1; i <= sockets.high_water(); ++i) {
    if (sockets[i].kind != stack::SocketKind::kFree && (sockets[i].holders & from) != 0)
      sockets[i].holders |= to;
  }
  auto& sets = state.sockets.sets;
  for (std::uint32_t i = 1; i <= sets.high_water(); ++i) {
    if ((sets[i].holders & from) != 0) sets[i].holders |= to;
  }
}

}  // namespace

/// Precondition: the stack's lock is held. Whoever sleeps already knows no bell: is woken.
void make_holder_bells(LocalStack& local) {
  if (local.holder_bells[0]) return;
  for (base::UniqueFd& bell : local.holder_bells)
    bell = high_fd(base::UniqueFd(base::sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
  int post[2] = {-1, -1};
  if (base::sys::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, post) == 0) {
    local.post_read = high_fd(base::UniqueFd(post[0]));
    local.post_write = high_fd(base::UniqueFd(post[1]));
  }
  listen_for_bell(local);
  wake_own_waiters(local);
}

void Impl::before_fork() {
  // Between events the keeper is in no library that has locks of its own.
  keeper_.pause();
  // The order of all locks of a process: clones, setup, control, sets, then arenas by number.
  clones_mutex_.lock();
  setup_mutex_.lock();
  control_mutex_.lock();
  sets_mutex_.lock();
  watched_mutex_.lock();
  for (std::uint32_t i = 0; i < arena_count(); ++i) {
    LocalStack& local = arena(i);
    stack::StackState& state = local.state();
    Inside::enter();
    if (state.header.lock.lock() == mem::StackLock::Outcome::kOwnerDied)
      local.stack->holder_died(clock_now());
    local.stack->begin_change();
    make_holder_bells(local);
    child_holder_[i] = stack::kMaxHolders;
    for (std::uint32_t h = 0; h < stack::kMaxHolders; ++h) {
      if (state.holders[h].used != 0) continue;
      state.holders[h] = {0, 1};
      child_holder_[i] = h;
      copy_holds(state, local.holder_bit, std::uint64_t{1} << h);
      break;
    }
  }
}

void Impl::after_fork_parent(pid_t child) {
  for (std::uint32_t i = arena_count(); i-- > 0;) {
    LocalStack& local = arena(i);
    const std::uint32_t h = child_holder_[i];
    if (h < stack::kMaxHolders) {
      if (child > 0) {
        local.state().holders[h].pid = static_cast<std::uint32_t>(child);
      } else {
        drop_holds(local, std::uint64_t{1} << h,
                   base::Instant{static_cast<std::int64_t>(local.state().last_turn_ns)});
        local.state().holders[h] = {};
      }
    }
    local.stack->end_change();
    local.state().header.lock.unlock();
    Inside::leave();
  }
  watched_mutex_.unlock();
  sets_mutex_.unlock();
  control_mutex_.unlock();
  setup_mutex_.unlock();
  clones_mutex_.unlock();
  keeper_.resume();
  if (child > 0 && arena_count() != 0) {
    ensure_keeper();
    watch_process(static_cast<std::uint32_t>(child));
  }
}

void Impl::watch_process(std::uint32_t pid) {
  {
    const std::lock_guard guard(watched_mutex_);
    if (std::find(watched_.begin(), watched_.end(), pid) != watched_.end()) return;
    watched_.push_back(pid);
  }
  base::UniqueFd pidfd = high_fd(base::UniqueFd(base::sys::pidfd_open(static_cast<pid_t>(pid), 0)));
  if (pidfd) {
    keeper_.watch_holder(std::move(pidfd), pid);
  } else if (errno == ESRCH) {
    forget_process(pid);
  }
}

void Impl::watch_holders(Whom whom) {
  std::vector<std::uint32_t> others;
  const auto self = static_cast<std::uint32_t>(getpid());
  for (std::uint32_t i = 0; i < arena_count(); ++i) {
    LocalStack& local = arena(i);
    const Look look(local);
    const stack::Holder& maker = local.state().holders[0];
    const bool maker_only = whom == Whom::kAsHeir && maker.used != 0 && maker.pid != self;
    const std::span holders(local.state().holders.data(), maker_only ? 1 : stack::kMaxHolders);
    for (const stack::Holder& holder : holders) {
      if (holder.used != 0 && holder.pid != 0 && holder.pid != self) others.push_back(holder.pid);
    }
  }
  for (const std::uint32_t other : others) watch_process(other);
}

void Impl::ensure_keeper() {
  if (keeper_.running()) [[likely]]
    return;
  const ControlScope control(*this);
  if (!left_ && !keeper_.running()) start_keeper();
}

void Impl::start_keeper() {
  if (keeper_.running()) return;
  keeper_.start();
  for (std::uint32_t i = 0; i < arena_count(); ++i) {
    LocalStack& local = arena(i);
    const Look look(local);
    watch_peers(local);
  }
  {
    const std::lock_guard guard(watched_mutex_);
    for (const auto& [fd, passed] : passed_) keeper_.watch_passed(fd);
  }
  for (std::uint32_t i = 0; i < arena_count(); ++i) {
    if (!arena(i).device) continue;
    keeper_.watch_device(arena(i).device->kernel_fd());
    keeper_.watch_device(arena(i).device->daemon_fd());
  }
  watch_holders();
}

void Impl::watch_peers(LocalStack& local) {
  // As long as the maker of a stack lives, it takes the links of dead peers down.
  if (local.holder != 0 && local.state().holders[0].used != 0) return;
  for (std::uint16_t k = 0; k < local.state().link_high; ++k) {
    if (local.peer_life[k]) keeper_.watch_peer(local.peer_life[k].get(), local.number, k);
  }
}

void Impl::after_fork_child() {
  mem::StackLock::forget_thread();
  // The locks are the parent's thread's, which releases them; here they only count as left.
  for (std::uint32_t i = 0; i < arena_count(); ++i) {
    LocalStack& local = arena(i);
    local.own = false;
    local.joined = false;
    local.waited_in = false;
    local.holder = child_holder_[i];
    local.holder_bit = local.holder < stack::kMaxHolders ? std::uint64_t{1} << local.holder : 0;
    if (local.holder < stack::kMaxHolders) {
      std::atomic_ref(local.state().holders[local.holder].pid)
          .store(static_cast<std::uint32_t>(getpid()), std::memory_order_relaxed);
    }
    local.stack->bells().clear();
    local.stack->forget_pending_frames();
    listen_for_bell(local);
    Inside::leave();
  }
  own_.store(nullptr, std::memory_order_relaxed);
  client_.reset();
  client_retry_ = {0};
  watched_.clear();
  passed_.clear();  // the parent's to watch
  keeper_.forget();
  left_ = false;
  new (&setup_mutex_) std::mutex;
  new (&control_mutex_) std::mutex;
  new (&clones_mutex_) std::mutex;
  new (&sets_mutex_) std::mutex;
  new (&watched_mutex_) std::mutex;
  stack::Looker::forget_others();
  ring::AsymmetricBarrier::enrol();
}

void Impl::drop_holds(LocalStack& local, std::uint64_t bit, base::Instant now) {
  auto& sockets = local.state().sockets.sockets;
  for (std::uint32_t i = 1; i <= sockets.high_water(); ++i) {
    if (sockets[i].kind == stack::SocketKind::kFree || (sockets[i].holders & bit) == 0) continue;
    local.sockets->release(i, bit, now);
  }
  auto& sets = local.state().sockets.sets;
  for (std::uint32_t i = 1; i <= sets.high_water(); ++i) {
    if ((sets[i].holders & bit) == 0) continue;
    if (local.sockets->sets().drop_holder(i, bit)) local.sockets->sets().destroy(i);
  }
}

void Impl::holder_process_died(std::uint32_t pid) {
  forget_process(pid);
  watch_holders();           // its children were its own to watch
  keeper_.expect_absence();  // and its stack to attend to
  for (std::uint32_t i = 0; i < arena_count(); ++i) {
    const Look look(arena(i));
    watch_peers(arena(i));
  }
}

void Impl::forget_process(std::uint32_t pid) {
  {
    const std::lock_guard guard(watched_mutex_);
    std::erase(watched_, pid);
  }
  for (std::uint32_t i = 0; i < arena_count(); ++i) {
    LocalStack& local = arena(i);
    Entry entry(local);
    stack::StackState& state = local.state();
    for (std::uint32_t h = 0; h < stack::kMaxHolders; ++h) {
      if (state.holders[h].used == 0 || state.holders[h].pid != pid) continue;
      drop_holds(local, std::uint64_t{1} << h, entry.now());
      state.holders[h] = {};
    }
    if (Attendance::forget(local, pid)) keeper_.expect_absence();
    for (std::uint32_t w = 0; w < stack::kMaxWaiters; ++w) {
      if (state.sockets.waiters[w].pid != pid) continue;
      state.sockets.waiters[w] = {};
      state.sockets.waiters_in_use &= ~(std::uint64_t{1} << w);
    }
  }
}

bool Impl::owns_fd(int fd) const {
  if (fd < 0) return false;
  {
    const std::lock_guard guard(watched_mutex_);
    if (passed_.contains(fd)) return true;
  }
  if (keeper_.owns_fd(fd) || (client_ && client_->owns_fd(fd))) return true;
  for (std::uint32_t i = 0; i < arena_count(); ++i) {
    const LocalStack& local = *arenas_[i];
    if (fd == local.mailbox_fd.get() || fd == local.doorbell.get() || fd == local.life_read.get() ||
        fd == local.life_write.get() || fd == local.stack->arena().fd() ||
        fd == local.post_read.get() || fd == local.post_write.get()) {
      return true;
    }
    if (local.device && local.device->owns_fd(fd)) return true;
    for (std::uint32_t p = 0; p < local.stack->port_count(); ++p) {
      if (fd == local.stack->port_fd(p)) return true;
    }
    if (fd == local.bell_heard.get()) return true;
    for (const base::UniqueFd& bell : local.holder_bells) {
      if (fd == bell.get()) return true;
    }
    for (std::uint32_t k = 0; k < local.stack->state().link_high; ++k) {
      if (fd == local.peer_life[k].get() ||
          fd == local.stack->link_doorbell(static_cast<std::uint16_t>(k)))
        return true;
    }
  }
  return false;
}

}  // namespace ringway::runtime
