#include "netmap/wait.h"

#include <immintrin.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "netmap/binding.h"
#include "netmap/buffers.h"
#include "netmap/device.h"
#include "netmap/process.h"
#include "netmap/sync.h"

namespace ringway::netmap {
namespace {

constexpr short kRead = POLLIN | POLLRDNORM;
constexpr short kWrite = POLLOUT | POLLWRNORM;
constexpr std::int64_t kSpin = 50'000;  // ns: a wake-up costs about as much

std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000L + now.tv_nsec;
}

bool has_unsent(const Kring& kring) {
  return kring.ring != 0 &&
         once(ring_of(kring)->head) != kring.hwcur.load(std::memory_order_relaxed);
}

bool has_room(const Kring& kring) {
  if (kring.ring == 0 || kring.slots == 0) return false;
  const abi::Ring& ring = *ring_of(kring);
  return once(ring.cur) != once(ring.tail);
}

/// Visits the transmit rings: those with unsent slots are flushed in any case, the others only
/// until one has room.
short look_at_tx(const Descriptor& d, short wanted) {
  short found = 0;
  bool satisfied = wanted == 0;
  for (std::uint32_t i = d.tx_first; i < d.tx_last; ++i) {
    Kring& kring = kring_of(d, true, i);
    if (satisfied && !has_unsent(kring)) continue;
    if (sync_tx(kring) == Sync::kBad) found |= POLLERR;
    if (!satisfied && has_room(kring)) {
      found = static_cast<short>(found | wanted);
      satisfied = true;
    }
  }
  return found;
}

short look_at_rx(const Descriptor& d, short wanted) {
  short found = 0;
  for (std::uint32_t i = d.rx_first; i < d.rx_last; ++i) {
    Kring& kring = kring_of(d, false, i);
    if (sync_rx(kring, true) == Sync::kBad) found |= POLLERR;
    if (has_room(kring)) found = static_cast<short>(found | wanted);
  }
  return found;
}

bool is_gone(const Descriptor& d) {
  if (d.state.load(std::memory_order_acquire) != State::kBound || d.csb.load() != 0) return true;
  const Port& port = registry()->ports[d.port];
  const bool orphan =
      port.kind.load(std::memory_order_relaxed) == PortKind::kMonitor && port.parent == kNone;
  return orphan || port.up.load(std::memory_order_acquire) == 0;
}

}  // namespace

short evaluate(const Descriptor& d, short events) {
  if (is_gone(d)) return POLLERR;
  const auto want_tx = static_cast<short>(events & kWrite);
  const auto want_rx = static_cast<short>(events & kRead);
  short found = 0;
  if (want_tx != 0 || (d.flags & abi::kNoTxPoll) == 0) found = look_at_tx(d, want_tx);
  if (want_rx != 0) found = static_cast<short>(found | look_at_rx(d, want_rx));
  return found;
}

bool may_be_ready(const Descriptor& d, short events) {
  if (is_gone(d)) return true;
  const auto any = [&](bool is_tx, std::uint32_t first, std::uint32_t last) {
    for (std::uint32_t i = first; i < last; ++i) {
      if (has_news(kring_of(d, is_tx, i))) return true;
    }
    return false;
  };
  return ((events & kWrite) != 0 && any(true, d.tx_first, d.tx_last)) ||
         ((events & kRead) != 0 && any(false, d.rx_first, d.rx_last));
}

void arm(Kring& kring) {
  const std::uint32_t bell = own_bell();
  if (bell == kNone) return;
  kring.bells[bell / 64].fetch_or(std::uint64_t{1} << (bell % 64));
  kring.sleepers.store(1);
}

void arm(const Descriptor& d) {
  if (is_gone(d)) return;
  for (std::uint32_t i = d.tx_first; i < d.tx_last; ++i) arm(kring_of(d, true, i));
  for (std::uint32_t i = d.rx_first; i < d.rx_last; ++i) arm(kring_of(d, false, i));
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

std::uint64_t signature(const Descriptor& d) {
  if (is_gone(d)) return UINT64_MAX;
  std::uint64_t sum = 1;
  for (std::uint32_t i = d.tx_first; i < d.tx_last; ++i) sum = sum * 31 + kring_of(d, true, i).tail;
  for (std::uint32_t i = d.rx_first; i < d.rx_last; ++i) {
    sum = sum * 31 + kring_of(d, false, i).tail;
  }
  return sum;
}

namespace {

/// One poll() call.
class Mixed {
 public:
  Mixed(pollfd* items, nfds_t count, const sigset_t* mask, WaitOthers others)
      : items_(items), count_(count), mask_(mask), others_(others) {
    for (nfds_t i = 0; i < count; ++i) has_others_ |= descriptor_of(items[i].fd) == kNone;
  }

  /// Evaluates the netmap items; the others are only looked at. How many are ready, or -errno.
  int look();
  bool spin(std::int64_t until) const;
  /// Sleeps until something may be ready. 0, or -errno.
  int sleep(std::int64_t nanoseconds);

 private:
  int look_at_others(std::int64_t nanoseconds, bool to_sleep);

  pollfd* items_;
  nfds_t count_;
  const sigset_t* mask_;
  WaitOthers others_;
  bool has_others_ = false;
};

int Mixed::look_at_others(std::int64_t nanoseconds, bool to_sleep) {
  std::vector<pollfd> rest;
  for (nfds_t i = 0; i < count_; ++i) {
    if (descriptor_of(items_[i].fd) == kNone) rest.push_back({items_[i].fd, items_[i].events, 0});
  }
  if (to_sleep) {
    if (own_bell() != kNone) rest.push_back({own_bell_fd(), POLLIN, 0});
    for (nfds_t i = 0; i < count_; ++i) {
      const std::uint32_t descriptor = descriptor_of(items_[i].fd);
      if (descriptor != kNone) watch_interface(descriptor_at(descriptor), items_[i].events, &rest);
    }
  }
  const int woken = others_(rest.data(), rest.size(), nanoseconds, mask_);
  if (woken < 0) return woken;
  std::size_t k = 0;
  int ready = 0;
  for (nfds_t i = 0; i < count_; ++i) {
    if (descriptor_of(items_[i].fd) != kNone) continue;
    items_[i].revents = rest[k++].revents;
    ready += items_[i].revents != 0 ? 1 : 0;
  }
  return ready;
}

int Mixed::look() {
  int ready = 0;
  for (nfds_t i = 0; i < count_; ++i) {
    pollfd& item = items_[i];
    const std::uint32_t descriptor = descriptor_of(item.fd);
    if (descriptor == kNone) continue;
    item.revents = evaluate(descriptor_at(descriptor), item.events);
    ready += item.revents != 0 ? 1 : 0;
  }
  if (!has_others_) return ready;
  const int others = look_at_others(0, false);
  return others < 0 ? others : ready + others;
}

bool Mixed::spin(std::int64_t until) const {
  do {
    for (int round = 0; round < 16; ++round) {
      for (nfds_t i = 0; i < count_; ++i) {
        const std::uint32_t descriptor = descriptor_of(items_[i].fd);
        if (descriptor == kNone) continue;
        if (may_be_ready(descriptor_at(descriptor), items_[i].events)) return true;
      }
      _mm_pause();
    }
  } while (now_ns() < until);
  return false;
}

int Mixed::sleep(std::int64_t nanoseconds) {
  constexpr std::int64_t kWithoutBell = 1'000'000;
  const bool bell = own_bell() != kNone;
  if (!bell && (nanoseconds < 0 || nanoseconds > kWithoutBell)) nanoseconds = kWithoutBell;
  const int woken = look_at_others(nanoseconds, true);
  if (bell) silence_own_bell();
  return woken < 0 ? woken : 0;
}

bool can_spin() {
  static const bool several = ::sysconf(_SC_NPROCESSORS_ONLN) > 1;
  return several;
}

}  // namespace

int wait_mixed(pollfd* items, nfds_t count, std::int64_t nanoseconds, const sigset_t* mask,
               WaitOthers others) {
  Mixed mixed(items, count, mask, others);
  int ready = mixed.look();
  if (ready != 0 || nanoseconds == 0) return ready;
  const std::int64_t start = now_ns();
  const std::int64_t end = nanoseconds < 0 ? INT64_MAX : start + nanoseconds;
  for (;;) {
    if (can_spin() && mixed.spin(std::min(end, now_ns() + kSpin))) {
      ready = mixed.look();
      if (ready != 0) return ready;
    }
    for (nfds_t i = 0; i < count; ++i) {
      const std::uint32_t descriptor = descriptor_of(items[i].fd);
      if (descriptor != kNone) arm(descriptor_at(descriptor));
    }
    ready = mixed.look();
    if (ready != 0) return ready;
    const std::int64_t now = now_ns();
    if (now >= end) return 0;
    tidy_up();
    const int failed = mixed.sleep(nanoseconds < 0 ? -1 : end - now);
    if (failed < 0) return failed;
    ready = mixed.look();
    if (ready != 0) return ready;
    if (now_ns() >= end) return 0;
  }
}

}  // namespace ringway::netmap
