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
  bool own = false;
  bool joined = false;  ///< the daemon lets this process act for the stack

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
      local_.stack->poison(now_);
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

/// Wakes the threads of `mask` (bits of stack::Waiter).
void wake_waiters(LocalStack& local, std::uint64_t mask);
/// This process's bell was rung by another: which of its threads is meant is not told.
void wake_own_waiters(LocalStack& local);

}  // namespace ringway::runtime
