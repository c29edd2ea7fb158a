#include "posix/signals.h"

#include <ucontext.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/sys.h"
#include "posix/context.h"
#include "posix/next.h"
#include "runtime/runtime.h"

namespace ringway::posix {
namespace {

/// A handler as the program gave it. Written under a lock with all signals blocked, read by
/// handlers under a sequence count.
struct Action {
  std::atomic<std::uint32_t> sequence{0};
  struct sigaction action {};
};

struct Deferred {
  int number = 0;
  siginfo_t info{};
  ucontext_t context{};
};

constinit Action g_actions[NSIG] = {};
std::atomic_flag g_writing = ATOMIC_FLAG_INIT;

constexpr std::size_t kMostDeferred = 8;
// A signal is blocked or lost to its own queue only if more than this many different ones arrive
// inside one turn; the last one then replaces nothing but is dropped, as a standard signal that is
// already pending would be.
thread_local std::array<Deferred, kMostDeferred> t_deferred;
thread_local volatile std::size_t t_deferred_count = 0;
thread_local volatile bool t_interrupted = false;

bool is_function(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 ||
         (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
}

struct sigaction read_action(int number) {
  const Action& from = g_actions[number];
  struct sigaction copy;
  std::uint32_t before = 0;
  do {
    before = from.sequence.load(std::memory_order_acquire);
    std::memcpy(&copy, &from.action, sizeof copy);
    std::atomic_thread_fence(std::memory_order_acquire);
  } while ((before & 1) != 0 || from.sequence.load(std::memory_order_relaxed) != before);
  return copy;
}

void write_action(int number, const struct sigaction& action) {
  Action& to = g_actions[number];
  to.sequence.fetch_add(1, std::memory_order_acq_rel);
  std::memcpy(&to.action, &action, sizeof action);
  to.sequence.fetch_add(1, std::memory_order_release);
}

void call(int number, siginfo_t* info, void* context) {
  const struct sigaction action = read_action(number);
  if (!is_function(action)) return;
  if ((action.sa_flags & SA_RESTART) == 0) t_interrupted = true;
  if ((action.sa_flags & SA_SIGINFO) != 0) {
    action.sa_sigaction(number, info, context);
  } else {
    action.sa_handler(number);
  }
}

/// Faults of the thread itself: putting them off would repeat them for ever.
bool is_synchronous(int number, const siginfo_t* info) {
  const bool fault = number == SIGSEGV || number == SIGBUS || number == SIGFPE ||
                     number == SIGILL || number == SIGTRAP || number == SIGSYS;
  return fault && info != nullptr && info->si_code > 0;
}

void on_signal(int number, siginfo_t* info, void* context) {
  runtime::Runtime::note_signal();
  if (!runtime::Runtime::inside() || is_synchronous(number, info)) {
    call(number, info, context);
    return;
  }
  const std::size_t at = t_deferred_count;
  if (at < kMostDeferred) {
    t_deferred[at].number = number;
    t_deferred[at].info = *info;
    std::memcpy(&t_deferred[at].context, context, sizeof(ucontext_t));
    t_deferred_count = at + 1;
  }
  runtime::Runtime::note_deferred_signal();
}

/// All signals blocked, and nobody else changing actions, for as long as it lives.
class Writing {
 public:
  Writing() {
    sigset_t all;
    sigfillset(&all);
    base::sys::raw(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&all),
                   reinterpret_cast<long>(&mask_), 8);
    while (g_writing.test_and_set(std::memory_order_acquire)) {
    }
  }
  ~Writing() {
    g_writing.clear(std::memory_order_release);
    base::sys::raw(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&mask_), 0, 8);
  }
  Writing(const Writing&) = delete;
  Writing& operator=(const Writing&) = delete;

 private:
  sigset_t mask_{};
};

}  // namespace

int change_signal(int number, const struct sigaction* now, struct sigaction* before) {
  if (number <= 0 || number >= NSIG) return -EINVAL;
  const Writing writing;
  const struct sigaction known = read_action(number);
  struct sigaction installed {};
  struct sigaction wrapped {};
  if (now != nullptr) {
    wrapped = *now;
    if (is_function(*now)) {
      wrapped.sa_sigaction = &on_signal;
      wrapped.sa_flags |= SA_SIGINFO;
      write_action(number, *now);  // before the kernel can call it
    }
  }
  if (libc::sigaction(number, now != nullptr ? &wrapped : nullptr, &installed) != 0) {
    write_action(number, known);
    return -errno;
  }
  if (before != nullptr) {
    const bool ours =
        (installed.sa_flags & SA_SIGINFO) != 0 && installed.sa_sigaction == &on_signal;
    *before = ours ? known : installed;
  }
  return 0;
}

void run_deferred_signals() {
  const KeepErrno keep;
  while (t_deferred_count != 0) {
    sigset_t all;
    sigset_t mask;
    sigfillset(&all);
    base::sys::raw(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&all),
                   reinterpret_cast<long>(&mask), 8);
    const Deferred first = t_deferred[0];
    const std::size_t left = t_deferred_count - 1;
    for (std::size_t i = 0; i < left; ++i) t_deferred[i] = t_deferred[i + 1];
    t_deferred_count = left;
    const struct sigaction action = read_action(first.number);
    sigset_t during = mask;
    sigorset(&during, &mask, &action.sa_mask);
    if ((action.sa_flags & SA_NODEFER) == 0) sigaddset(&during, first.number);
    base::sys::raw(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&during), 0, 8);
    Deferred copy = first;
    call(copy.number, &copy.info, &copy.context);
    base::sys::raw(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&mask), 0, 8);
  }
}

void watch_signals() { t_interrupted = false; }

bool interrupted() { return t_interrupted; }

}  // namespace ringway::posix
