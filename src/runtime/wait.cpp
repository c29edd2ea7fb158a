// Waiting: spin while traffic flows, then sleep on the doorbell.

#include <immintrin.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/sys.h"
#include "runtime/attendance.h"
#include "runtime/impl.h"
#include "runtime/spin.h"

namespace ringway::runtime {

namespace {

/// How long kernel fds may go unnoticed while stack sockets are busy.
constexpr base::Duration kKernelLook = base::Duration::microseconds(50);
constexpr std::uint32_t kBusyLooks = 100;

/// Event fds of threads that have ended, for later ones: process id and fd, 0 for none. They are
/// not closed, because somebody may be about to write to one.
std::array<std::atomic<std::uint64_t>, 64> spare_events{};

/// The eventfd on which the calling thread sleeps.
class ThreadEvent {
 public:
  ~ThreadEvent() {
    // A forked child has the parent's number, but not its thread.
    if (fd_ < 0 || pid_ != getpid()) return;
    for (auto& spare : spare_events) {
      std::uint64_t none = 0;
      if (spare.compare_exchange_strong(none, packed(fd_))) return;
    }
  }
  int fd() {
    if (fd_ >= 0 && pid_ == getpid()) return fd_;
    pid_ = getpid();
    for (auto& spare : spare_events) {
      const std::uint64_t known = spare.load(std::memory_order_relaxed);
      if (known == 0) continue;
      fd_ = static_cast<int>(known & UINT32_MAX);
      const bool ours = known == packed(fd_);  // else a parent's
      std::uint64_t expected = known;
      if (spare.compare_exchange_strong(expected, 0) && ours) return fd_;
    }
    fd_ = high_fd(base::UniqueFd(base::sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))).release();
    return fd_;
  }

 private:
  std::uint64_t packed(int fd) const {
    return static_cast<std::uint64_t>(pid_) << 32 | static_cast<std::uint32_t>(fd);
  }

  int fd_ = -1;
  pid_t pid_ = 0;
};
thread_local ThreadEvent thread_event;

void drain(int fd) {
  std::uint64_t count = 0;
  static_cast<void>(base::sys::read(fd, &count, sizeof count));
}

}  // namespace

/// One wait of one thread. `Subject` says what is waited for:
///   bool collect(Impl&)                      runs turns, gathers what is ready
///   bool involves(std::uint32_t arena)
///   bool ready(Entry&, std::uint32_t arena)  looks without gathering
///   void mark(Entry&, std::uint32_t arena, std::uint64_t waiter, bool on)
template <typename Subject>
class Wait {
 public:
  Wait(Impl& impl, Subject& subject, std::span<pollfd> kernel, base::Instant deadline,
       const sigset_t* mask)
      : impl_(impl), subject_(subject), kernel_(kernel), deadline_(deadline), mask_(mask) {
    arenas_ = impl.arena_count();
  }

  /// 1 when something is ready, 0 at the deadline, -EINTR.
  int run() {
    for (;;) {
      if (subject_.collect(impl_)) return 1;
      if (Inside::signals != signals_) return -EINTR;
      base::Instant now = clock_now();
      if (look_at_kernel(now, true)) return 1;
      if (now >= deadline_) return 0;
      if (spin(now)) continue;
      if (kernel_ready_) return 1;
      const int slept = sleep();
      spin_of(impl_).slept(clock_now() - now);
      if (slept != 0) return slept;
    }
  }

 private:
  static Spin& spin_of(const Impl& impl) {
    static thread_local Spin spin(impl.options().spin);
    if (spin.usual() != impl.options().spin) [[unlikely]]
      spin = Spin(impl.options().spin);
    return spin;
  }

  bool look_at_kernel(base::Instant now, bool at_once) {
    if (kernel_.empty() || (!at_once && now - kernel_looked_ < kKernelLook)) return false;
    kernel_looked_ = now;
    kernel_ready_ = base::sys::poll(kernel_.data(), kernel_.size(), 0) > 0;
    return kernel_ready_;
  }

  std::uint32_t epoch() const {
    std::uint32_t sum = 0;
    for (std::uint32_t i = 0; i < arenas_; ++i) {
      if (subject_.involves(i)) {
        sum += std::atomic_ref(impl_.arena(i).state().event_epoch).load(std::memory_order_relaxed);
      }
    }
    return sum;
  }
  bool input() const {
    for (std::uint32_t i = 0; i < arenas_; ++i) {
      if (subject_.involves(i) && impl_.arena(i).stack->has_input()) return true;
    }
    return false;
  }
  bool busy() const {
    for (std::uint32_t i = 0; i < arenas_; ++i) {
      if (subject_.involves(i) &&
          std::atomic_ref(impl_.arena(i).state().busy).load(std::memory_order_relaxed) != 0) {
        return true;
      }
    }
    return false;
  }

  /// True when it is worth collecting again.
  bool spin(base::Instant now) {
    Spin& learned = spin_of(impl_);
    const base::Instant end = std::min(deadline_, now + learned.budget());
    const std::uint32_t before = epoch();
    for (std::uint32_t round = 1; now < end; ++round) {
      for (int i = 0; i < 32; ++i) {
        if (input() || epoch() != before) {
          learned.came_while_spinning();
          return true;
        }
        _mm_pause();
      }
      // Something waits for room in a port: most often for microseconds. A reader that is slow
      // makes it last; then a look at every tick will do.
      if (busy() && ++busy_looks_ < kBusyLooks) return true;
      now = clock_now();
      if (look_at_kernel(now, false)) return false;
      if (round % 4 == 0) sched_yield();
    }
    return false;
  }

  struct Place {
    std::uint32_t arena = 0;
    std::uint32_t waiter = 0;
    bool attends = false;
    bool rung = false;   ///< the doorbell, while it attends
    bool heard = false;  ///< the bell of this process
    int bell = -1;       ///< LocalStack::bell_heard, which a fork may make
  };

  /// 0: look again; -EINTR.
  int sleep() {
    impl_.ensure_keeper();
    const int event = thread_event.fd();
    Inside::bell = event;
    if (Inside::signals != signals_) {
      Inside::bell = -1;
      return -EINTR;
    }
    base::Instant wake_at = deadline_;
    bool go = true;
    place_count_ = 0;
    for (std::uint32_t i = 0; i < arenas_ && go; ++i) {
      if (subject_.involves(i)) go = settle(i, event, wake_at);
    }
    int result = 0;
    if (go) result = sleep_in_kernel(event, wake_at);
    Inside::bell = -1;
    for (std::uint32_t i = 0; i < place_count_; ++i) rise(places_[i]);
    // Also if it did not sleep after all: meanwhile the keeper may have seen that somebody does.
    if (go || place_count_ != 0) impl_.keeper().expect_absence();
    return result;
  }

  /// Takes a place among the sleepers of an arena. False: something is ready, do not sleep.
  bool settle(std::uint32_t number, int event, base::Instant& wake_at) {
    LocalStack& local = impl_.arena(number);
    local.waited_in.store(true, std::memory_order_relaxed);
    Entry entry(local);
    entry.turn();
    if (subject_.ready(entry, number) || local.stack->has_unmapped_links()) return false;
    // Looking may have asked TCP to tell of room: it takes note, and tells at once if there is
    // some.
    if (entry.tcp().has_output()) entry.tcp().output(entry.now());
    if (local.stack->has_events()) return false;
    // A writer that waits for more room than there is asks again and again: not for ever at once.
    const bool restless = entry.tcp().has_output();
    if (restless && ++busy_looks_ < kBusyLooks) return false;
    if (restless) wake_at = std::min(wake_at, entry.now() + Keeper::kTick);
    stack::SocketTables& tables = local.state().sockets;
    const auto waiter = static_cast<std::uint32_t>(std::countr_one(tables.waiters_in_use));
    if (waiter == stack::kMaxWaiters) {
      wake_at = std::min(wake_at, entry.now() + Keeper::kTick);  // no place: come back after a tick
      return true;
    }
    const std::uint64_t bit = std::uint64_t{1} << waiter;
    bool attends = false;
    const Attendance mine = Attendance::of_waiter(waiter);
    if (mine.wanted(local)) {
      attends = mine.begin(local);
      // A ring with some room, but less than a connection needs, will not ring a bell for more.
      const bool short_of_room =
          entry.tcp().blocked() && busy_looks_ >= kBusyLooks && !local.stack->has_input();
      if (!attends && !short_of_room) return false;
      if (attends) local.state().sleep_until_ns = local.stack->next_deadline().ns;
    }
    tables.waiters_in_use |= bit;
    tables.waiters[waiter] = {static_cast<std::uint32_t>(getpid()), event};
    subject_.mark(entry, number, bit, true);
    places_[place_count_++] = {
        .arena = number, .waiter = waiter, .attends = attends, .bell = local.bell_heard.get()};
    if (attends) wake_at = std::min(wake_at, local.stack->next_deadline());
    if (entry.tcp().blocked()) wake_at = std::min(wake_at, entry.now() + Keeper::kTick);
    // Another process may attend, and stop or die without a word: see that somebody does.
    if (!attends && !local.own)
      wake_at = std::min(wake_at, entry.now() + base::Duration::seconds(1));
    return true;
  }

  int sleep_in_kernel(int event, base::Instant wake_at) {
    static thread_local std::vector<pollfd> fds;
    fds.clear();
    fds.push_back({event, POLLIN, 0});
    for (std::uint32_t i = 0; i < place_count_; ++i) {  // -1: poll ignores it
      const Place& place = places_[i];
      const int doorbell = place.attends ? impl_.arena(place.arena).doorbell.get() : -1;
      fds.push_back({doorbell, POLLIN, 0});
      fds.push_back({place.bell, POLLIN, 0});
    }
    const std::size_t own = fds.size();
    for (std::uint32_t i = 0; i < place_count_; ++i) {
      const stack::Stack& stack = *impl_.arena(places_[i].arena).stack;
      for (std::uint32_t p = 0; places_[i].attends && p < stack.port_count(); ++p) {
        fds.push_back({stack.port_fd(p), POLLIN, 0});
      }
    }
    const std::size_t first_kernel = fds.size();
    fds.insert(fds.end(), kernel_.begin(), kernel_.end());
    timespec room{};
    const timespec* timeout = until(wake_at, clock_now(), room);
    const int n =
        base::sys::ppoll(fds.data(), fds.size(), timeout != nullptr ? &room : nullptr, mask_);
    if (n < 0) return errno == EINTR ? -EINTR : -errno;
    if (fds[0].revents != 0) drain(event);
    for (std::size_t i = 1; i < own; i += 2) {
      Place& place = places_[(i - 1) / 2];
      place.rung = fds[i].revents != 0;
      epoll_event bell{};
      place.heard =
          fds[i + 1].revents != 0 && base::sys::epoll_wait(fds[i + 1].fd, &bell, 1, 0) > 0;
    }
    for (std::size_t i = 0; i < kernel_.size(); ++i) {
      kernel_[i].revents = fds[first_kernel + i].revents;
    }
    return 0;
  }

  void rise(const Place& place) {
    LocalStack& local = impl_.arena(place.arena);
    Entry entry(local);
    stack::SocketTables& tables = local.state().sockets;
    const std::uint64_t bit = std::uint64_t{1} << place.waiter;
    subject_.mark(entry, place.arena, bit, false);
    tables.waiters_in_use &= ~bit;
    tables.waiters[place.waiter] = {};
    if (place.attends) Attendance::of_waiter(place.waiter).end(local, place.rung);
    if (place.heard) wake_own_waiters(local);
  }

  Impl& impl_;
  const std::uint32_t signals_ = Inside::signals;
  Subject& subject_;
  std::span<pollfd> kernel_;
  base::Instant deadline_;
  const sigset_t* mask_;
  std::uint32_t arenas_ = 0;
  base::Instant kernel_looked_{0};
  bool kernel_ready_ = false;
  std::array<Place, Impl::kMaxArenas> places_{};
  std::uint32_t place_count_ = 0;
  std::uint32_t busy_looks_ = 0;
};

namespace {

/// Waits for single sockets; an inherited listener counts with its clone.
class ItemsSubject {
 public:
  ItemsSubject(std::span<WaitItem> items, Impl& impl) : items_(items) {
    for (std::uint32_t i = 0; i < items.size(); ++i) {
      involve(items[i].socket, i);
      const Clone* clone = impl.clone_of(items[i].socket);
      if (clone != nullptr) involve(clone->own, i);
    }
  }
  bool involves(std::uint32_t arena) const { return (arenas_ >> arena & 1U) != 0; }

  bool collect(Impl& impl) {
    bool any = false;
    for (WaitItem& item : items_) item.revents = 0;
    for (std::uint32_t a = 0; a < impl.arena_count(); ++a) {
      if (!involves(a)) continue;
      LocalStack& local = impl.arena(a);
      if (local.stack->has_unmapped_links()) [[unlikely]]
        impl.map_missing_links(local);
      Entry entry(local);
      entry.turn();
      for (const Member& member : members_) {
        if (member.id.arena != a) continue;
        WaitItem& item = items_[member.item];
        item.revents |= look(entry, member);
        any = any || item.revents != 0;
      }
    }
    return any;
  }
  bool ready(Entry& entry, std::uint32_t arena) {
    return std::any_of(members_.begin(), members_.end(), [&](const Member& member) {
      return member.id.arena == arena && look(entry, member) != 0;
    });
  }
  void mark(Entry& entry, std::uint32_t arena, std::uint64_t waiter, bool on) {
    for (const Member& member : members_) {
      if (member.id.arena != arena) continue;
      stack::Socket* socket = entry.find(member.id.index, member.id.generation);
      if (socket == nullptr) continue;
      socket->waiters = on ? socket->waiters | waiter : socket->waiters & ~waiter;
    }
  }

 private:
  struct Member {
    SocketId id;
    std::uint32_t item;
  };

  /// Short lists live here, long ones (poll of hundreds) on the heap.
  class Members {
   public:
    void push_back(const Member& m) {
      if (count_ < few_.size()) {
        few_[count_++] = m;
        return;
      }
      if (many_.empty()) many_.assign(few_.begin(), few_.end());
      many_.push_back(m);
      ++count_;
    }
    const Member* begin() const { return many_.empty() ? few_.data() : many_.data(); }
    const Member* end() const { return begin() + count_; }

   private:
    std::array<Member, 4> few_{};
    std::vector<Member> many_;
    std::size_t count_ = 0;
  };

  void involve(const SocketId& id, std::uint32_t item) {
    arenas_ |= 1U << id.arena;
    members_.push_back({id, item});
  }
  std::uint32_t look(Entry& entry, const Member& member) {
    if (entry.find(member.id.index, member.id.generation) == nullptr) return POLLNVAL;
    return entry.sockets().readiness(member.id.index) &
           (items_[member.item].events | EPOLLERR | EPOLLHUP);
  }

  std::span<WaitItem> items_;
  std::uint32_t arenas_ = 0;
  Members members_;
};

/// Waits for ready events of a set.
class SetSubject {
 public:
  SetSubject(SetId set, SetParts& parts, std::span<epoll_event> out)
      : set_(set), parts_(parts), out_(out) {}

  bool involves(std::uint32_t arena) const { return parts_.set[arena] != 0; }
  bool collect(Impl& impl) {
    count_ = impl.set_collect(set_, out_);
    return count_ != 0;
  }
  bool ready(Entry& entry, std::uint32_t arena) {
    auto& sockets = entry.sockets();
    return sockets.sets().any_ready(parts_.set[arena],
                                    [&sockets](std::uint32_t s) { return sockets.readiness(s); });
  }
  void mark(Entry& entry, std::uint32_t arena, std::uint64_t waiter, bool on) {
    entry.sockets().sets().mark_waiter(parts_.set[arena], waiter, on);
  }
  int count() const { return count_; }

 private:
  SetId set_;
  SetParts& parts_;
  std::span<epoll_event> out_;
  int count_ = 0;
};

}  // namespace

int Impl::wait(std::span<WaitItem> items, std::span<pollfd> kernel, base::Instant deadline,
               const sigset_t* mask) {
  ItemsSubject subject(items, *this);
  const int result = Wait<ItemsSubject>(*this, subject, kernel, deadline, mask).run();
  if (result < 0) return result;
  int ready = 0;
  for (const WaitItem& item : items) ready += item.revents != 0 ? 1 : 0;
  for (const pollfd& fd : kernel) ready += fd.revents != 0 ? 1 : 0;
  return ready;
}

int Impl::set_wait(SetId set, std::span<epoll_event> out, std::span<pollfd> kernel,
                   base::Instant deadline, const sigset_t* mask) {
  SetSubject subject(set, sets_[set.value], out);
  const int result = Wait<SetSubject>(*this, subject, kernel, deadline, mask).run();
  return result < 0 ? result : subject.count();
}

}  // namespace ringway::runtime
