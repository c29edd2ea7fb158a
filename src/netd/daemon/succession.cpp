// What a predecessor left: programs that go on without noticing.

#include <fmt/format.h>
#include <net/if.h>
#include <netinet/in.h>

#include <charconv>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/sys.h"
#include "netd/daemon/netd.h"
#include "netd/daemon/veth.h"
#include "netd/daemon/wire.h"

namespace ringway::netd {

namespace sys = base::sys;
using base::Result;
using driver::xdp::Steering;

namespace {

/// The place that a lease names.
base::Endpoint endpoint_of(const rw_lease_key& key) {
  base::Endpoint at;
  std::memcpy(at.address.bytes.data(), key.address, sizeof key.address);
  at.port = ntohs(key.port);
  return at;
}

}  // namespace

/// Devices of this namespace whose steering is pinned.
void Netd::take_up() {
  const std::string prefix = pin_of(0).substr(0, pin_of(0).size() - 1);
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(pins_, ignored)) {
    const std::string path = entry.path().string();
    std::uint32_t index = 0;
    if (!path.starts_with(prefix)) continue;
    std::from_chars(path.data() + prefix.size(), path.data() + path.size(), index);
    std::array<char, IF_NAMESIZE> name{};
    if (::if_indextoname(index, name.data()) == nullptr) name[0] = '\0';
    auto steering = Steering::reopen({name.data(), index, Steering::Attach::kAuto, path});
    const auto facts = driver::look_at_device(name.data());
    if (!steering || !facts) continue;
    Device& device = add_device(*facts, std::move(*steering));
    adopt_programs(device);
    if (device.sessions == 0) let_go(device);
  }
}

/// Those that live keep what they have, and are watched until they end or come back. What others
/// had goes.
void Netd::adopt_programs(Device& device) {
  Steering& steering = *device.steering;
  if (const rw_guard holder = steering.guard(0); holder.pid != 0) {
    if (Session* program = program_of(device, holder.pid, holder.start_time)) {
      program->direct = true;
    } else {
      steering.write_guard(0, {});
    }
  }
  for (std::uint32_t number = 1; number < RW_MAX_GUARDS; ++number) {
    const rw_guard guard = steering.guard(number);
    if (guard.host == 0) continue;
    if (Session* program = program_of(device, guard.pid, guard.start_time)) {
      program->guard = number;
      program->bytes = guard.bytes;
      program->uid = guard.uid;
    } else {
      remove_guard(device, number);
    }
  }
  for (const auto& [key, lease] : steering.leases()) {
    Session* program = program_of(device, lease.pid, lease.start_time);
    if (program == nullptr || program->guard != lease.guard) {
      steering.drop_lease(key);
      continue;
    }
    auto reserved = reserve(key.protocol, endpoint_of(key));
    program->leases[key] = reserved ? std::move(*reserved) : base::UniqueFd();
  }
}

/// The session that stands for a program until it comes back; null if it has ended.
Netd::Session* Netd::program_of(Device& device, std::uint32_t pid, std::uint64_t start_time) {
  for (const auto& session : sessions_) {
    if (session->device == &device && session->pid == pid && session->start_time == start_time) {
      return session.get();
    }
  }
  base::UniqueFd life(sys::pidfd_open(static_cast<pid_t>(pid), 0));
  // Asked in this order, the descriptor cannot be a later process's.
  if (pid == 0 || !life || start_time_of(pid) != start_time) return nullptr;
  auto session = std::make_unique<Session>();
  session->life = std::move(life);
  session->pid = pid;
  session->start_time = start_time;
  session->device = &device;
  ++device.sessions;
  return sessions_.emplace_back(std::move(session)).get();
}

/// The sockets are the program's already; what it has is in the pinned maps.
Result<Answer> Netd::join(Session& session, const Request& request) {
  if (session.device != nullptr) return refuse(EBUSY, "this program has a device already");
  for (const auto& old : sessions_) {
    const bool same = old->life && old->device != nullptr && old->pid == session.pid &&
                      old->device->name == request.device.data();
    if (!same) continue;
    session.device = std::exchange(old->device, nullptr);
    session.leases = std::move(old->leases);
    session.direct = std::exchange(old->direct, false);
    session.guard = std::exchange(old->guard, 0);
    session.bytes = std::exchange(old->bytes, 0);
    old->leases.clear();
    old->life.reset();
    return Answer{};
  }
  return refuse(ENODEV, fmt::format("this program has nothing of {} that could be taken up",
                                    request.device.data()));
}

void Netd::remove_guard(Device& device, std::uint32_t number) {
  const rw_guard guard = device.steering->guard(number);
  const rw_bucket dropped = device.steering->bucket(number);
  device.steering->drop_guard(number);
  delete_veth(guard.host);
  if (dropped.foreign == 0 && dropped.limited == 0) return;
  options_.log(
      fmt::format("{}: process {} of user {} sent {} frames from addresses or ports that "
                  "are not leased to it and {} over its rate: dropped",
                  device.name, guard.pid, guard.uid, dropped.foreign, dropped.limited));
}

}  // namespace ringway::netd
