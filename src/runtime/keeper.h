#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <mutex>

#include "base/time.h"
#include "base/unique_fd.h"
#include "steering/stack_id.h"

namespace ringway::runtime {

class Impl;
struct LocalStack;

/// The thread that attends to a process's stacks while the program is elsewhere, and to the daemon.
///
/// Three situations: *attended*: the program's own threads run turns; the keeper only looks in,
/// ever more rarely. *away*: nobody has run a turn for about a millisecond; the keeper runs one
/// each tick, and after a few quiet ones sleeps on the doorbell in the program's place. *asleep*: a
/// thread waits on the doorbell; the keeper has no timer at all. It only tries the lock, blocks all
/// signals, and is started with the stack, and again lazily after fork.
class Keeper {
 public:
  explicit Keeper(Impl& impl) : impl_(impl) {}
  ~Keeper() { stop(); }

  /// Starts the thread if it does not run.
  void start();
  void stop();
  /// A program thread has left its sleep: look in after a tick. Cheap when a look is due already.
  void expect_absence() {
    if (armed_.load(std::memory_order_relaxed)) return;
    arm(kTick);
  }
  /// The daemon cannot be reached: the keeper asks Impl::control_events() again in a while.
  void retry_control();
  /// Events of the daemon were read on the way by somebody else: Impl::control_events() at once.
  void attend_control();
  /// A control connection replaces the one before; -1: there is none. `session` tells them apart,
  /// since a closed one's number may be another file's already.
  void watch_control(int fd, std::uint32_t session);
  std::uint32_t control_session() const { return control_session_; }
  /// Watches the life pipe of a peer; `fd` must stay open until unwatch().
  void watch_peer(int fd, std::uint32_t arena, std::uint16_t link);
  /// Watches what tells of a device: the kernel's changes, its daemon. -1: nothing.
  void watch_device(int fd);
  /// Watches another process that holds an arena of this one; takes the pidfd over.
  void watch_holder(base::UniqueFd pidfd, std::uint32_t pid);
  /// Watches the end of a passport: Impl::passing_ended(). The fd stays the caller's.
  void watch_passed(int fd);
  bool running() const { return running_.load(std::memory_order_acquire); }
  /// Around fork: the thread holds no lock and allocates nothing between the two calls.
  void pause() {
    if (running()) begun_.wait(false);  // a thread that starts is in libraries, too
    at_work_.lock();
  }
  void resume() { at_work_.unlock(); }
  void unwatch(int fd);
  /// In the child after fork: the thread is not here; its fds are given up.
  void forget();
  bool owns_fd(int fd) const {
    return fd == epoll_.get() || fd == timer_.get() || fd == stop_.get() || fd == retry_.get() ||
           fd == poke_.get();
  }

  static constexpr base::Duration kTick = base::Duration::milliseconds(1);
  /// What others made is theirs to attend to, as long as they do, or live and nobody here has
  /// waited in it.
  static constexpr base::Duration kInheritedTick = base::Duration::milliseconds(4);

 private:
  enum class What : std::uint8_t {
    kControl,
    kTimer,
    kStop,
    kPeer,
    kHolder,
    kDoorbell,
    kRetry,
    kPassed,
    kPort,
    kDevice
  };

  static void* main(void* self);
  void run();
  /// What one event of the epoll fd asks for; false: the thread ends.
  bool handle(std::uint64_t packed);
  void rung_in_absence(LocalStack& local);
  void tick();
  /// Looks in after about a tick.
  void arm(base::Duration after);
  /// Looks in at a timer that may be far off: what expect_absence() asks for comes first.
  void look_in_later(base::Duration after);
  void set_timer(base::Duration after);
  /// Nobody attends to `local`: runs a turn; true if it did anything.
  bool attend(LocalStack& local);
  /// What the keeper looks at of a stack.
  struct Glance {
    base::Instant deadline;
    base::Instant sleeper_until;  ///< deadline that the sleeping attendant knows
    base::Instant last_turn;
    std::uint32_t strangers = 0;
    bool asleep = false;
    bool wanted = false;  ///< neighbours are to be asked for
    bool concerns_us = false;
  };
  /// False if somebody is inside.
  bool glance(LocalStack& local, Glance& out);
  /// True if somebody sleeps on the doorbell afterwards; `earliest` then counts its timers in.
  bool sleep_in_its_place(LocalStack& local, base::Instant& earliest);

  Impl& impl_;
  base::UniqueFd epoll_;
  base::UniqueFd timer_;
  base::UniqueFd stop_;
  base::UniqueFd retry_;
  base::UniqueFd poke_;  ///< for attend_control()
  int control_fd_ = -1;
  std::uint32_t control_session_ = 0;
  pthread_t thread_{};
  std::mutex at_work_;
  std::atomic<bool> running_{false};
  std::atomic<bool> begun_{false};  ///< the thread has reached its own code
  std::atomic<bool> armed_{false};
  base::Duration interval_ = kTick;
  std::uint32_t quiet_ticks_ = 0;
};

}  // namespace ringway::runtime
