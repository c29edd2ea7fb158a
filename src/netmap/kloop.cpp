#include <poll.h>
#include <time.h>

#include <cerrno>
#include <vector>

#include "base/sys.h"
#include "netmap/binding.h"
#include "netmap/buffers.h"
#include "netmap/ports.h"
#include "netmap/process.h"
#include "netmap/request.h"
#include "netmap/sync.h"
#include "netmap/wait.h"

namespace ringway::netmap {
namespace {

namespace sys = base::sys;

enum Looping : std::uint32_t { kIdle, kRunning, kAskedToStop };
constexpr std::uint32_t kMostSleep = 1'000'000;

/// One ring of the loop with its two blocks in the program's memory.
struct Looped {
  Kring* kring;
  abi::CsbAtok* atok;
  abi::CsbKtoa* ktoa;
  std::int32_t ioeventfd;
  std::int32_t irqfd;
};

std::vector<Looped> rings_of(const Descriptor& d, const KloopOptions& options) {
  std::vector<Looped> rings;
  auto* atok = reinterpret_cast<abi::CsbAtok*>(d.csb_atok);
  auto* ktoa = reinterpret_cast<abi::CsbKtoa*>(d.csb_ktoa);
  const auto add = [&](bool is_tx, std::uint32_t i) {
    const std::size_t n = rings.size();
    const KloopEventfds fds =
        options.eventfds != nullptr ? options.eventfds[n] : KloopEventfds{-1, -1};
    rings.push_back({&kring_of(d, is_tx, i), atok + n, ktoa + n, fds.ioeventfd, fds.irqfd});
  };
  for (std::uint32_t i = d.tx_first; i < d.tx_last; ++i) add(true, i);
  for (std::uint32_t i = d.rx_first; i < d.rx_last; ++i) add(false, i);
  return rings;
}

void store(std::uint32_t& to, std::uint32_t value) {
  std::atomic_ref<std::uint32_t>(to).store(value, std::memory_order_release);
}

/// A round of one ring: takes the program's pointers from its block and tells ours.
bool turn(const Looped& r) {
  if (r.kring->ring == 0) return false;
  abi::Ring& ring = *ring_of(*r.kring);
  ring.head = std::atomic_ref(r.atok->head).load(std::memory_order_acquire);
  ring.cur = once(r.atok->cur);
  const std::uint32_t before = r.kring->tail;
  if (r.kring->is_tx != 0) {
    sync_tx(*r.kring);
  } else {
    sync_rx(*r.kring, false);
  }
  store(r.ktoa->hwcur, r.kring->hwcur.load(std::memory_order_relaxed));
  store(r.ktoa->hwtail, r.kring->tail);
  const bool advanced = before != r.kring->tail;
  if (advanced && r.irqfd >= 0 && once(r.atok->appl_need_kick) != 0) {
    const std::uint64_t one = 1;
    sys::write(r.irqfd, &one, sizeof one);
  }
  return advanced;
}

bool all_have_doorbells(const std::vector<Looped>& rings, const KloopOptions& options) {
  if (options.eventfds == nullptr) return false;
  for (const Looped& r : rings) {
    if (r.ioeventfd < 0) return false;
  }
  return true;
}

void nap(std::uint32_t microseconds) {
  timespec time{microseconds / 1'000'000, microseconds % 1'000'000 * 1000L};
  sys::raw(SYS_nanosleep, reinterpret_cast<long>(&time), 0);
}

void await_doorbells(const std::vector<Looped>& rings, const std::atomic<std::uint32_t>& looping) {
  constexpr int kSafetyMilliseconds = 3000;
  std::vector<pollfd> items;
  for (const Looped& r : rings) {
    items.push_back({r.ioeventfd, POLLIN, 0});
    arm(*r.kring);
    store(r.ktoa->kern_need_kick, 1);
  }
  if (own_bell() != kNone) items.push_back({own_bell_fd(), POLLIN, 0});
  std::atomic_thread_fence(std::memory_order_seq_cst);
  bool news = looping.load() == kAskedToStop;
  for (const Looped& r : rings) news = turn(r) || news;
  sys::poll(items.data(), items.size(), news ? 0 : kSafetyMilliseconds);
  for (std::size_t i = 0; i < rings.size(); ++i) {
    std::uint64_t count = 0;
    if ((items[i].revents & POLLIN) != 0) sys::read(items[i].fd, &count, sizeof count);
  }
  if (own_bell() != kNone) silence_own_bell();
}

}  // namespace

int may_start_kloop(const Descriptor& d, const abi::KloopStart& request) {
  if (request.sleep_us > kMostSleep) return EINVAL;
  if (d.state.load() != State::kBound) return ENXIO;
  if (d.csb.load() == 0) return EINVAL;
  return d.looping.load() == kRunning ? EBUSY : 0;
}

int run_kloop(Descriptor& d, const abi::KloopStart& request, const KloopOptions& options) {
  std::uint32_t before = kIdle;
  if (!d.looping.compare_exchange_strong(before, kRunning)) {
    if (before == kRunning) return EBUSY;
    d.looping.store(kIdle);  // asked to stop before it began
    return 0;
  }
  const std::vector<Looped> rings = rings_of(d, options);
  const bool doorbells = all_have_doorbells(rings, options);
  while (d.looping.load() == kRunning) {
    for (const Looped& r : rings) turn(r);
    if (doorbells) {
      await_doorbells(rings, d.looping);
    } else {
      nap(request.sleep_us);
    }
  }
  d.looping.store(kIdle);
  return 0;
}

int stop_kloop(Descriptor& d) {
  if (d.state.load() != State::kBound) return ENXIO;
  if (d.looping.exchange(kAskedToStop) != kRunning) return 0;
  for (std::uint32_t i = d.tx_first; i < d.tx_last; ++i) wake_sleepers(kring_of(d, true, i));
  for (std::uint32_t i = d.rx_first; i < d.rx_last; ++i) wake_sleepers(kring_of(d, false, i));
  while (d.looping.load() == kAskedToStop) nap(100);
  return 0;
}

}  // namespace ringway::netmap
