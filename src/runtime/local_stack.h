#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "base/time.h"
#include "base/unique_fd.h"
#include "driver/link/link_memory.h"
#include "runtime/clock.h"
#include "runtime/device.h"
#include "socket/sockets.h"
#include "stack/stack.h"

namespace ringway::runtime {

/// One stack as this process holds it: its own, or one inherited over fork.
struct LocalStack {
  std::unique_ptr<stack::Stack> stack;
  std::unique_ptr<socket::Sockets> sockets;
  driver::MailboxMemory mailbox;
  base::UniqueFd mailbox_fd;
  base::UniqueFd doorbell;    ///< eventfd that peers ring; shared by all holders
  base::UniqueFd life_read;   ///< given to peers and daemon: hangs up when the last holder is gone
  base::UniqueFd life_write;  ///< every holder keeps one
  steering::StackId id;
  std::uint32_t number = 0;  ///< SocketId::arena
  std::uint32_t holder = 0;
  std::uint64_t holder_bit = 0;
  /// By holder: wakes the threads of another process that sleep for this stack. Made before the
  /// first fork, so that all holders have them.
  static constexpr std::uint32_t kHolderBells = 32;
  std::array<base::UniqueFd, kHolderBells> holder_bells;
  int holder_bell(std::uint32_t of) const { return holder_bells[of % kHolderBells].get(); }
  std::unique_ptr<Device> device;  ///< external port; only of the stack that was made first
  /// A queue between all holders: connections that processes which ended had not accepted
  /// (leftovers.cpp). Made with the bells.
  base::UniqueFd post_read;
  base::UniqueFd post_write;
  /// Readable when this process's bell was rung. An epoll fd of its own, edge-triggered: the bell
  /// is never drained, so that processes which share one all hear it. -1 before the first fork.
  base::UniqueFd bell_heard;
  bool own = false;
  std::uint32_t strangers_watched = 0;  ///< StackState::strangers, as the keeper has seen it
  std::atomic<bool> waited_in{false};   ///< a thread of this process has waited in it
  bool joined = false;                  ///< the daemon lets this process act for the stack
  /// A link of another holder could not be had: once more.
  std::atomic<bool> fetch_failed{false};

  std::array<base::UniqueFd, stack::kMaxLinks>
      peer_life;  ///< by link: hangs up when the peer is gone

  std::array<std::uint32_t, stack::kMaxLinks> peer_life_of{};  ///< LinkState::generation

  stack::StackState& state() const { return stack->state(); }
};

/// Signals and nesting of the calling thread.
struct Inside {
  static thread_local volatile std::uint32_t signals;  ///< handlers that ran or were put off
  static thread_local volatile int bell;  ///< eventfd that a signal rings; -1: not about to sleep
  static thread_local int depth;
  static thread_local bool deferred;
  static std::atomic<void (*)()> hook;

  static void enter() { ++depth; }
  static void leave() {
    if (--depth == 0 && deferred) [[unlikely]]
      run_deferred();
  }
  static void run_deferred();
};

/// Being inside a stack: holds its lock for a scope. On leaving, what is due is sent and flushed;
/// after the lock is released, doorbells are rung and sleeping threads woken.
class Entry {
 public:
  explicit Entry(LocalStack& local) : Entry(local, clock_now()) {}
  /// With a time that the caller has read lately.
  Entry(LocalStack& local, base::Instant now) : local_(local) {
    Inside::enter();
    stack::StackState& state = local_.state();
    const auto outcome = state.header.lock.lock();
    // Other processes may hold the stack too: time never goes back within an arena.
    now_.ns = std::max(now.ns, static_cast<std::int64_t>(state.last_turn_ns));
    if (outcome == mem::StackLock::Outcome::kOwnerDied) [[unlikely]]
      local_.stack->holder_died(now_);
    local_.stack->begin_change();
    local_.stack->follow_links();
  }
  ~Entry() {
    stack::Stack& stack = *local_.stack;
    if (stack.tcp().has_output()) stack.tcp().output(now_);
    stack.flush();
    wake_ |= local_.sockets->drain_events();
    if (wake_ != 0 || !stack.bells().empty()) [[unlikely]] {
      leave_and_wake();
      return;
    }
    stack.end_change();
    local_.state().header.lock.unlock();
    Inside::leave();
  }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  base::Instant now() const { return now_; }
  /// Receives what is there, and passes news on.
  bool turn() {
    const bool worked = local_.stack->turn(now_);
    wake_ |= local_.sockets->drain_events();
    return worked;
  }
  /// There is something to receive of which no sender tells: rings the stack's own doorbell on
  /// leaving if somebody sleeps on it.
  void wake_attendant() {
    auto& sleeping = local_.mailbox.get()->sleeping;
    if (sleeping.exchange(0, std::memory_order_acq_rel) != 0)
      local_.stack->bells().push_back(local_.doorbell.get());
  }
  socket::Sockets& sockets() { return *local_.sockets; }
  tcp::Tcp& tcp() { return local_.stack->tcp(); }
  /// nullptr if the id is stale.
  stack::Socket* find(std::uint32_t index, std::uint32_t generation) {
    return local_.sockets->find(index, generation);
  }

 private:
  void leave_and_wake();

  LocalStack& local_;
  base::Instant now_;
  std::uint64_t wake_ = 0;
};

/// Looks at a stack within its lock and changes nothing: to be killed here does no harm.
class Look {
 public:
  explicit Look(LocalStack& local) : local_(local) {
    Inside::enter();
    if (local_.state().header.lock.lock() == mem::StackLock::Outcome::kOwnerDied) [[unlikely]]
      local_.stack->holder_died(clock_now());
  }
  ~Look() {
    local_.state().header.lock.unlock();
    Inside::leave();
  }
  Look(const Look&) = delete;
  Look& operator=(const Look&) = delete;

 private:
  LocalStack& local_;
};

/// Before the first fork, and in the child.
void listen_for_bell(LocalStack& local);
/// Another process means a thread of this one, which one is not told. Needs the stack's lock.
void wake_own_waiters(LocalStack& local);

}  // namespace ringway::runtime
