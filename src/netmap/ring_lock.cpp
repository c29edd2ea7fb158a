#include "netmap/ring_lock.h"

#include <immintrin.h>
#include <signal.h>
#include <time.h>

#include <cstdio>
#include <cstring>

#include "base/sys.h"

namespace ringway::netmap {
namespace {

namespace sys = base::sys;

thread_local std::uint32_t own_id = 0;

/// A killed process whose parent has not waited for it still has its number: only its state tells.
bool is_zombie(std::uint32_t id) {
  char path[48];
  std::snprintf(path, sizeof path, "/proc/%u/stat", id);
  const int fd = sys::openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char text[512];
  const ssize_t n = sys::read(fd, text, sizeof text - 1);
  sys::close(fd);
  if (n <= 0) return false;
  text[n] = '\0';
  const char* end = std::strrchr(text, ')');
  return end != nullptr && end[1] == ' ' && (end[2] == 'Z' || end[2] == 'X');
}

bool is_dead(std::uint32_t id) {
  if (sys::raw(SYS_kill, static_cast<long>(id), 0) == -ESRCH) return true;
  return is_zombie(id);
}

}  // namespace

std::uint32_t thread_id() {
  if (own_id == 0) own_id = static_cast<std::uint32_t>(sys::gettid());
  return own_id;
}

void forget_thread_id() { own_id = 0; }

bool RingLock::take_from_dead(std::uint32_t owner) {
  return owner != 0 && owner != thread_id() && is_dead(owner) &&
         word_.compare_exchange_strong(owner, thread_id(), std::memory_order_acquire);
}

bool RingLock::try_lock() {
  std::uint32_t seen = 0;
  if (word_.compare_exchange_strong(seen, thread_id(), std::memory_order_acquire)) return true;
  return take_from_dead(seen);
}

bool RingLock::lock(std::uint32_t microseconds) {
  for (int i = 0; i < 2000; ++i) {
    std::uint32_t seen = word_.load(std::memory_order_relaxed);
    if (seen == 0 && word_.compare_exchange_strong(seen, thread_id(), std::memory_order_acquire)) {
      return true;
    }
    _mm_pause();
  }
  constexpr std::uint32_t kNap = 50;
  for (std::uint32_t waited = 0;; waited += kNap) {
    if (try_lock()) return true;
    if (waited >= microseconds) return false;
    timespec nap{0, kNap * 1000};
    sys::raw(SYS_nanosleep, reinterpret_cast<long>(&nap), 0);
  }
}

}  // namespace ringway::netmap
