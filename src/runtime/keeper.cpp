#include "runtime/keeper.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include "base/sys.h"
#include "runtime/attendance.h"
#include "runtime/impl.h"

namespace ringway::runtime {

namespace {

constexpr std::uint32_t kQuietTicks = 8;
constexpr base::Duration kLongestTick = base::Duration::milliseconds(8);

struct Tag {
  std::uint8_t what;
  std::uint8_t arena;
  std::uint16_t link;
  std::uint32_t fd;
};

std::uint64_t pack(std::uint8_t what, std::uint32_t arena, std::uint32_t link, int fd) {
  return std::uint64_t{what} | std::uint64_t{arena & 0xff} << 8 |
         std::uint64_t{link & 0xffff} << 16 |
         static_cast<std::uint64_t>(static_cast<std::uint32_t>(fd)) << 32;
}

Tag unpack(std::uint64_t v) {
  return {static_cast<std::uint8_t>(v), static_cast<std::uint8_t>(v >> 8),
          static_cast<std::uint16_t>(v >> 16), static_cast<std::uint32_t>(v >> 32)};
}

void add(int epoll, int fd, std::uint64_t tag) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = tag;
  base::sys::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

}  // namespace

void Keeper::start() {
  if (running()) return;
  epoll_ = high_fd(base::UniqueFd(base::sys::epoll_create1(EPOLL_CLOEXEC)));
  timer_ = high_fd(
      base::UniqueFd(base::sys::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)));
  stop_ = high_fd(base::UniqueFd(base::sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
  add(epoll_.get(), timer_.get(),
      pack(static_cast<std::uint8_t>(What::kTimer), 0, 0, timer_.get()));
  add(epoll_.get(), stop_.get(), pack(static_cast<std::uint8_t>(What::kStop), 0, 0, stop_.get()));
  retry_ = high_fd(
      base::UniqueFd(base::sys::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)));
  add(epoll_.get(), retry_.get(),
      pack(static_cast<std::uint8_t>(What::kRetry), 0, 0, retry_.get()));
  poke_ = high_fd(base::UniqueFd(base::sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
  add(epoll_.get(), poke_.get(), pack(static_cast<std::uint8_t>(What::kRetry), 0, 0, poke_.get()));
  // The thread must never run the program's signal handlers.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  begun_ = false;
  const bool started = pthread_create(&thread_, &attributes, &Keeper::main, this) == 0;
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  arm(kTick);
  running_.store(started, std::memory_order_release);
}

void Keeper::stop() {
  if (!running_.load()) return;
  const std::uint64_t one = 1;
  base::sys::write(stop_.get(), &one, sizeof one);
  pthread_join(thread_, nullptr);
  running_ = false;
}

void Keeper::forget() {
  running_ = false;
  armed_ = false;
  new (&at_work_) std::mutex;
  epoll_.reset();
  timer_.reset();
  stop_.reset();
  retry_.reset();
  poke_.reset();
  control_fd_ = -1;
  control_session_ = 0;
}

void Keeper::arm(base::Duration after) {
  armed_.store(true);
  set_timer(after);
}

void Keeper::look_in_later(base::Duration after) {
  set_timer(after);
  // Who armed it meanwhile may have set the timer before: its wish is the earlier one.
  if (armed_.load()) set_timer(kTick);
}

void Keeper::set_timer(base::Duration after) {
  const itimerspec when{
      {0, 0}, {after.ns / 1'000'000'000, std::max<std::int64_t>(after.ns % 1'000'000'000, 1)}};
  base::sys::timerfd_settime(timer_.get(), 0, &when, nullptr);
}

void Keeper::retry_control() {
  const itimerspec when{{0, 0}, {0, 250'000'000}};
  base::sys::timerfd_settime(retry_.get(), 0, &when, nullptr);
}

void Keeper::attend_control() {
  const std::uint64_t one = 1;
  base::sys::write(poke_.get(), &one, sizeof one);
}

void Keeper::watch_control(int fd, std::uint32_t session) {
  if (control_fd_ >= 0 && session == control_session_) {
    base::sys::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, control_fd_, nullptr);
  }
  control_fd_ = fd;
  control_session_ = session;
  if (fd >= 0) add(epoll_.get(), fd, pack(static_cast<std::uint8_t>(What::kControl), 0, 0, fd));
}

void Keeper::watch_peer(int fd, std::uint32_t arena, std::uint16_t link) {
  add(epoll_.get(), fd, pack(static_cast<std::uint8_t>(What::kPeer), arena, link, fd));
}

void Keeper::watch_holder(base::UniqueFd pidfd, std::uint32_t pid) {
  const int fd = pidfd.release();  // closed when it fires
  // A pid has at most 22 bits (PID_MAX_LIMIT).
  add(epoll_.get(), fd,
      pack(static_cast<std::uint8_t>(What::kHolder), pid >> 16, pid & 0xffff, fd));
}

void Keeper::watch_passed(int fd) {
  add(epoll_.get(), fd, pack(static_cast<std::uint8_t>(What::kPassed), 0, 0, fd));
}

void Keeper::watch_device(int fd) {
  if (fd >= 0) add(epoll_.get(), fd, pack(static_cast<std::uint8_t>(What::kDevice), 0, 0, fd));
}

void Keeper::unwatch(int fd) { base::sys::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

void* Keeper::main(void* self) {
  pthread_setname_np(pthread_self(), "ringway-keeper");
  static_cast<Keeper*>(self)->run();
  return nullptr;
}

void Keeper::run() {
  begun_ = true;
  begun_.notify_all();
  for (;;) {
    epoll_event events[16];
    const int n = base::sys::epoll_wait(epoll_.get(), events, 16, -1);
    if (n < 0 && errno != EINTR) return;
    const std::lock_guard at_work(at_work_);
    for (int i = 0; i < n; ++i) {
      if (!handle(events[i].data.u64)) return;
    }
  }
}

bool Keeper::handle(std::uint64_t packed) {
  const Tag tag = unpack(packed);
  const int fd = static_cast<int>(tag.fd);
  std::uint64_t count = 0;
  switch (static_cast<What>(tag.what)) {
    case What::kStop:
      return false;
    case What::kRetry:
      static_cast<void>(base::sys::read(fd, &count, sizeof count));
      impl_.control_events();
      impl_.fetch_links_again();
      break;
    case What::kControl:
      impl_.control_events();
      break;
    case What::kTimer:
      static_cast<void>(base::sys::read(fd, &count, sizeof count));
      tick();
      break;
    case What::kPeer:
      impl_.peer_died(tag.arena, tag.link);
      break;
    case What::kPassed:
      impl_.passing_ended(fd);
      break;
    case What::kHolder:
      unwatch(fd);
      base::sys::close(fd);
      impl_.holder_process_died(std::uint32_t{tag.arena} << 16 | tag.link);
      break;
    case What::kDevice:
      if (!impl_.device_events()) unwatch(fd);
      break;
    case What::kPort:
      unwatch(fd);
      rung_in_absence(impl_.arena(tag.arena));
      break;
    case What::kDoorbell:
      unwatch(fd);
      rung_in_absence(impl_.arena(tag.arena));
      break;
  }
  return true;
}

void Keeper::rung_in_absence(LocalStack& local) {
  if (local.stack->has_unmapped_links()) impl_.map_missing_links(local);
  Entry entry(local);
  Attendance::of_keeper().end(local, true);
  entry.turn();
  quiet_ticks_ = 0;
  interval_ = kTick;
  arm(kTick);
}

void Keeper::tick() {
  // Before the look, so that a thread that rises during it asks for another one.
  armed_.store(false);
  bool again = false;
  bool attended = true;
  bool strangers = false;
  base::Instant earliest = base::Instant::never();
  const base::Instant now = clock_now();
  for (std::uint32_t i = 0; i < impl_.arena_count(); ++i) {
    LocalStack& local = impl_.arena(i);
    Glance seen;
    if (!glance(local, seen)) {  // somebody is inside
      again = true;
      continue;
    }
    strangers = strangers || seen.strangers != local.strangers_watched;
    local.strangers_watched = seen.strangers;
    if (!seen.concerns_us) continue;
    if (seen.wanted) impl_.resolve_wanted(local);
    if (seen.asleep) {
      // A timer that was set after the sleeper went to sleep is the keeper's.
      if (seen.deadline < seen.sleeper_until) {
        if (seen.deadline <= now) {
          attend(local);
          again = true;
        }
        earliest = std::min(earliest, std::max(seen.deadline, now + kTick));
      }
      continue;
    }
    if (now - seen.last_turn < (local.own ? kTick : kInheritedTick)) {
      again = true;
      continue;
    }
    attended = false;
    if (attend(local)) quiet_ticks_ = 0;
    if (++quiet_ticks_ < kQuietTicks || !sleep_in_its_place(local, earliest)) again = true;
  }
  if (strangers) impl_.watch_strangers();
  if (again) {
    interval_ = attended ? std::min(interval_ * 2, kLongestTick) : kTick;
    arm(interval_);
  } else if (!earliest.is_never()) {
    look_in_later(std::max(earliest - now, kTick));
  } else {
    interval_ = kTick;
    quiet_ticks_ = 0;
  }
}

bool Keeper::glance(LocalStack& local, Glance& out) {
  Inside::enter();
  stack::StackState& state = local.state();
  const auto outcome = state.header.lock.try_lock();
  if (outcome == mem::StackLock::Outcome::kBusy) {
    Inside::leave();
    return false;
  }
  if (outcome == mem::StackLock::Outcome::kOwnerDied) local.stack->holder_died(clock_now());
  out.deadline = local.stack->next_deadline();
  out.sleeper_until = {state.sleep_until_ns};
  out.last_turn = {static_cast<std::int64_t>(state.last_turn_ns)};
  out.strangers = state.strangers;
  out.concerns_us = local.holder == 0 || local.waited_in.load(std::memory_order_relaxed) ||
                    state.holders[0].used == 0;
  out.asleep = local.mailbox.get()->sleeping.load(std::memory_order_relaxed) != 0;
  out.wanted = state.ip.wanted_count != 0;
  state.header.lock.unlock();
  Inside::leave();
  return true;
}

bool Keeper::attend(LocalStack& local) {
  if (local.stack->has_unmapped_links()) impl_.map_missing_links(local);
  Entry entry(local);
  return entry.turn();
}

bool Keeper::sleep_in_its_place(LocalStack& local, base::Instant& earliest) {
  Entry entry(local);
  if (entry.turn() || entry.tcp().blocked()) return false;
  const base::Instant deadline = local.stack->next_deadline();
  if (deadline < entry.now() + base::Duration::milliseconds(4)) return false;
  const Attendance mine = Attendance::of_keeper();
  if (!mine.wanted(local)) return true;
  if (!mine.begin(local)) return false;
  // Timers stay the keeper's own: they are before "for ever".
  local.state().sleep_until_ns = INT64_MAX;
  earliest = std::min(earliest, deadline);
  add(epoll_.get(), local.doorbell.get(),
      pack(static_cast<std::uint8_t>(What::kDoorbell), local.number, 0, local.doorbell.get()));
  for (std::uint32_t i = 0; i < local.stack->port_count(); ++i) {
    const int fd = local.stack->port_fd(i);
    if (fd >= 0)
      add(epoll_.get(), fd, pack(static_cast<std::uint8_t>(What::kPort), local.number, 0, fd));
  }
  return true;
}

}  // namespace ringway::runtime
