// The queues of a program: those of the device itself, or one behind a guard.

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "mem/arena.h"
#include "netd/daemon/netd.h"
#include "netd/daemon/veth.h"
#include "netd/daemon/wire.h"

namespace ringway::netd {

using base::Result;
using driver::LeaseKind;
using driver::XdpQueues;
using driver::xdp::Steering;

namespace {

constexpr std::uint64_t kMostFrameBytes = std::uint64_t{256} << 20;
/// Of one user but root, over all of his programs behind guards.
constexpr std::size_t kMostGuardsOfUser = 16;
constexpr std::uint64_t kMostBytesOfUser = std::uint64_t{1} << 30;

/// The frames of a program for as long as they are registered.
class Mapped {
 public:
  Mapped(int memfd, const Request& request)
      : length_(request.length),
        at_(::mmap(nullptr, request.length, PROT_READ | PROT_WRITE, MAP_SHARED, memfd,
                   static_cast<off_t>(request.offset))) {}
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  ~Mapped() {
    if (at_ != MAP_FAILED) ::munmap(at_, length_);
  }
  std::byte* at() const { return at_ != MAP_FAILED ? static_cast<std::byte*>(at_) : nullptr; }

 private:
  std::size_t length_;
  void* at_;
};

Result<void> check_frames(const Request& request, int memfd) {
  if (memfd < 0) return refuse(EBADF, "frames are missing");
  const auto size = mem::check_sealed(memfd);
  if (!size) return tl::unexpected(size.error());
  const bool sane = (request.chunk == 2048 || request.chunk == 4096) &&
                    request.offset % 4096 == 0 && request.length != 0 &&
                    request.length % request.chunk == 0 && request.length <= kMostFrameBytes &&
                    request.offset <= *size && request.length <= *size - request.offset;
  if (!sane) return refuse(EINVAL, "frames of this size and place cannot be shared with a device");
  return {};
}

/// Nanoseconds for 1024 bytes; 0: no limit.
std::uint32_t ns_per_kib(std::uint32_t rate_mbit) {
  constexpr std::uint32_t kOfOneMbit = 1024U * 8U * 1000U;
  return rate_mbit == 0 ? 0 : std::max(1U, kOfOneMbit / rate_mbit);
}

}  // namespace

Result<Netd::Device*> Netd::device_of(const std::string& name, Steering::Attach attach) {
  const auto facts = driver::look_at_device(name);
  if (!facts) return refuse(ENODEV, facts.error().what);
  if (const auto found = devices_.find(facts->index); found != devices_.end()) {
    return found->second.get();
  }
  auto steering = Steering::open({name, facts->index, attach, pin_of(facts->index)});
  if (!steering) return tl::unexpected(steering.error());
  Device& device = add_device(*facts, std::move(*steering));
  if (device.steering->taken_up()) adopt_programs(device);
  return &device;
}

Netd::Device& Netd::add_device(const driver::DeviceFacts& facts,
                               std::unique_ptr<Steering> steering) {
  auto device = std::make_unique<Device>();
  device->name = facts.name;
  device->index = facts.index;
  device->mtu = facts.mtu;
  device->steering = std::move(steering);
  return *(devices_[facts.index] = std::move(device));
}

Result<Answer> Netd::open_queues(Session& session, const Request& request, int memfd,
                                 std::vector<base::UniqueFd>& fds) {
  if (session.device != nullptr) return refuse(EBUSY, "this program has a device already");
  if (auto sane = check_frames(request, memfd); !sane) return tl::unexpected(sane.error());
  if (request.copy > 2 || request.attach > 2 || request.lease > 2) {
    return refuse(EINVAL, "no such mode");
  }
  Wanted wanted;
  wanted.options.device = request.device.data();
  wanted.options.queue = request.queue;
  wanted.options.copy = static_cast<driver::xdp::CopyMode>(request.copy);
  wanted.options.attach = static_cast<Steering::Attach>(request.attach);
  wanted.options.lease = static_cast<LeaseKind>(request.lease);
  const auto kind = choose(session, wanted);
  if (!kind) return tl::unexpected(kind.error());
  const Mapped frames(memfd, request);
  if (frames.at() == nullptr) return base::fail_errno("frames cannot be mapped");
  wanted.umem = {frames.at(), request.length, request.chunk};
  auto device = device_of(wanted.options.device, wanted.options.attach);
  if (!device) return tl::unexpected(device.error());
  auto queues = *kind == LeaseKind::kGuarded ? bind_guarded(session, **device, wanted)
                                             : bind_direct(session, **device, wanted);
  if (!queues) {
    if ((*device)->sessions == 0) let_go(**device);
    return tl::unexpected(queues.error());
  }
  session.device = *device;
  ++(*device)->sessions;
  Answer answer;
  answer.index = (*device)->index;
  answer.mac = queues->mac.bytes;
  answer.mtu = queues->mtu;
  answer.zero_copy = queues->binding.zero_copy ? 1 : 0;
  answer.pieces = queues->binding.pieces ? 1 : 0;
  answer.tx_checksum = queues->binding.tx_checksum ? 1 : 0;
  answer.unfinished_checksums = queues->unfinished_checksums ? 1 : 0;
  answer.native = (*device)->steering->native() ? 1 : 0;
  answer.guarded = session.guard != 0 ? 1 : 0;
  answer.rate_mbit = session.guard != 0 ? options_.rate_mbit : 0;
  fds = std::move(queues->sockets);
  return answer;
}

/// Whoever has a device's own queues can send anything: no hook of the kernel sees it.
Result<LeaseKind> Netd::choose(const Session& session, const Wanted& wanted) const {
  if (wanted.options.lease == LeaseKind::kGuarded) return LeaseKind::kGuarded;
  const bool trusted = session.uid == 0 || options_.trusted.contains(session.uid);
  if (wanted.options.lease == LeaseKind::kDirect) {
    if (trusted) return LeaseKind::kDirect;
    return refuse(EACCES, fmt::format("user {} may not have the queues of {} itself: whoever has "
                                      "them can send anything; start ringway-netd with --trust {}",
                                      session.uid, wanted.options.device, session.uid));
  }
  const bool taken = std::any_of(sessions_.begin(), sessions_.end(), [&](const auto& other) {
    return other->direct && other->device->name == wanted.options.device;
  });
  return session.uid == 0 && !taken ? LeaseKind::kDirect : LeaseKind::kGuarded;
}

Result<XdpQueues> Netd::bind_direct(Session& session, Device& device, const Wanted& wanted) {
  const auto facts = driver::look_at_device(device.name);
  if (!facts) return refuse(ENODEV, facts.error().what);
  auto queues = driver::bind_queues(*facts, wanted.options, wanted.umem);
  if (!queues) return queues;
  auto queue = static_cast<std::uint32_t>(std::max<std::int64_t>(wanted.options.queue, 0));
  for (const base::UniqueFd& socket : queues->sockets) {
    const auto set = device.steering->set_socket(queue++, socket.get());
    if (!set) return tl::unexpected(set.error());
  }
  rw_guard holder{};
  holder.pid = session.pid;
  holder.uid = session.uid;
  holder.start_time = session.start_time;
  device.steering->write_guard(0, holder);
  session.direct = true;
  return queues;
}

/// What is registered counts twice: a program may free pages of its file that the kernel keeps.
Result<void> Netd::check_quota(const Session& session, std::uint64_t bytes) const {
  if (session.uid == 0) return {};
  std::size_t guards = 1;
  for (const auto& other : sessions_) {
    if (other->guard == 0 || other->uid != session.uid) continue;
    ++guards;
    bytes += other->bytes;
  }
  if (guards <= kMostGuardsOfUser && bytes <= kMostBytesOfUser) return {};
  return refuse(EDQUOT, fmt::format("user {} has {} programs on devices already, or too much "
                                    "memory shared with them",
                                    session.uid, guards - 1));
}

Result<XdpQueues> Netd::bind_guarded(Session& session, Device& device, const Wanted& wanted) {
  const std::uint64_t bytes = 2 * wanted.umem.length;
  if (auto within = check_quota(session, bytes); !within) return tl::unexpected(within.error());
  std::uint32_t number = 1;
  while (number < RW_MAX_GUARDS && device.steering->guard(number).host != 0) ++number;
  if (number == RW_MAX_GUARDS) return refuse(ENOSPC, device.name + " has no more guarded leases");
  auto queues = bind_behind(session, device, wanted, number);
  if (!queues) return queues;
  session.guard = number;
  session.bytes = bytes;
  return queues;
}

Result<XdpQueues> Netd::bind_behind(Session& session, Device& device, const Wanted& wanted,
                                    std::uint32_t number) {
  const auto outside = driver::look_at_device(device.name);
  if (!outside) return refuse(ENODEV, outside.error().what);
  driver::XdpOptions options = wanted.options;
  options.device = fmt::format("rwp{}.{}", device.index, number);
  const auto pair =
      make_veth(fmt::format("rwh{}.{}", device.index, number), options.device, outside->mtu);
  if (!pair) return tl::unexpected(pair.error());
  const auto inside = driver::look_at_device(options.device);
  auto queues = inside ? driver::bind_queues(*inside, options, wanted.umem)
                       : Result<XdpQueues>(tl::unexpected(inside.error()));
  if (queues) {
    rw_guard guard{};
    guard.pid = session.pid;
    guard.uid = session.uid;
    guard.start_time = session.start_time;
    guard.bytes = 2 * wanted.umem.length;
    guard.host = pair->host;
    guard.program = pair->program;
    guard.ns_per_kib = ns_per_kib(options_.rate_mbit);
    std::memcpy(guard.mac, outside->mac.bytes.data(), sizeof guard.mac);
    const auto set = device.steering->set_guard(number, guard, queues->sockets.front().get());
    if (!set) queues = tl::unexpected(set.error());
  }
  if (!queues) {
    delete_veth(pair->host);
    return queues;
  }
  // To the program it is the device: its address, its MTU, its peers.
  queues->device = device.name;
  queues->mac = outside->mac;
  queues->unfinished_checksums = outside->driver == "veth";
  return queues;
}

}  // namespace ringway::netd
