#include "runtime/attendance.h"

#include <unistd.h>

#include "base/sys.h"

namespace ringway::runtime {

namespace {

constexpr std::uint32_t kKeeper = stack::kMaxWaiters;

std::uint32_t pid_of(std::uint64_t id) { return static_cast<std::uint32_t>(id >> 32); }
std::uint32_t place_of(std::uint64_t id) { return static_cast<std::uint32_t>(id) - 1; }
bool sleeps(const LocalStack& local) {
  return local.mailbox.get()->sleeping.load(std::memory_order_relaxed) != 0;
}

}  // namespace

Attendance::Attendance(std::uint32_t place)
    : id_(static_cast<std::uint64_t>(getpid()) << 32 | (place + 1)) {}
Attendance Attendance::of_waiter(std::uint32_t waiter) { return Attendance(waiter); }
Attendance Attendance::of_keeper() { return Attendance(kKeeper); }
bool Attendance::is_keeper() const { return place_of(id_) == kKeeper; }

bool Attendance::wanted(const LocalStack& local) const {
  const std::uint64_t other = local.state().attendant;
  if (!sleeps(local) || other == 0) return true;
  if (is_keeper()) return false;
  return place_of(other) == kKeeper || (local.own && pid_of(other) != pid_of(id_));
}

bool Attendance::begin(LocalStack& local) const {
  const bool asleep = local.stack->prepare_sleep(*local.mailbox.get());
  local.state().attendant = asleep ? id_ : 0;
  return asleep;
}

bool Attendance::end(LocalStack& local, bool rung) const {
  if (local.state().attendant != id_) return false;
  local.state().attendant = 0;
  local.stack->wake(*local.mailbox.get());
  std::uint64_t count = 0;
  if (rung) static_cast<void>(base::sys::read(local.doorbell.get(), &count, sizeof count));
  return true;
}

bool Attendance::forget(LocalStack& local, std::uint32_t pid) {
  if (pid_of(local.state().attendant) != pid) return false;
  local.state().attendant = 0;
  local.stack->wake(*local.mailbox.get());
  return true;
}

}  // namespace ringway::runtime
