#include "netd/daemon/netd.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "base/netlink.h"
#include "base/sys.h"
#include "netd/daemon/veth.h"
#include "netd/daemon/wire.h"

namespace ringway::netd {

namespace sys = base::sys;
using base::ErrorCode;
using base::Result;

namespace {

constexpr const char* kDirectory = "/run/ringway";
constexpr int kIdleMs = 10'000;

std::uint64_t own_namespace() {
  struct stat status {};
  return ::stat("/proc/self/ns/net", &status) == 0 ? status.st_ino : 0;
}

/// Where pins may be made: the system's BPF file system, else one of our own.
Result<std::string> pin_directory() {
  struct statfs status {};
  std::string base = "/sys/fs/bpf";
  if (::statfs(base.c_str(), &status) != 0 || status.f_type != BPF_FS_MAGIC) {
    base = std::string(kDirectory) + "/bpf";
    ::mkdir(base.c_str(), 0700);
    const bool there = ::statfs(base.c_str(), &status) == 0 && status.f_type == BPF_FS_MAGIC;
    if (!there &&
        ::mount("bpf", base.c_str(), "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0) {
      return base::fail_errno("no BPF file system can be mounted at " + base);
    }
  }
  base += "/ringway";
  if (::mkdir(base.c_str(), 0700) != 0 && errno != EEXIST) {
    return base::fail_errno("cannot make " + base);
  }
  return base;
}

}  // namespace

bool Netd::KeyLess::operator()(const rw_lease_key& a, const rw_lease_key& b) const {
  return std::memcmp(&a, &b, sizeof a) < 0;
}

Result<std::unique_ptr<Netd>> Netd::open(const Options& options) {
  std::unique_ptr<Netd> netd(new Netd(options));
  if (netd->options_.path.empty()) netd->options_.path = socket_path();
  ::mkdir(kDirectory, 0755);
  auto pins = pin_directory();
  if (!pins) return tl::unexpected(pins.error());
  netd->pins_ = *pins;
  netd->wake_.reset(sys::eventfd(0, EFD_CLOEXEC));
  if (auto watching = netd->watch_links(); !watching) return tl::unexpected(watching.error());
  if (auto listening = netd->listen(); !listening) return tl::unexpected(listening.error());
  netd->take_up();
  return netd;
}

/// Live programs keep their queues: their steering stays on the device.
Netd::~Netd() {
  for (auto& [index, device] : devices_) {
    if (device->sessions != 0) {
      device->steering->release();
    } else {
      device->steering->remove();
    }
  }
  if (listener_) ::unlink(options_.path.c_str());
}

std::string Netd::pin_of(std::uint32_t index) const {
  return fmt::format("{}/{}-{}", pins_, own_namespace(), index);
}

Result<void> Netd::listen() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (options_.path.size() >= sizeof address.sun_path) {
    return base::fail(ErrorCode::kInvalidArgument, "the socket's path is too long");
  }
  options_.path.copy(address.sun_path, sizeof address.sun_path - 1);
  const auto* where = reinterpret_cast<const sockaddr*>(&address);
  const base::UniqueFd probe(sys::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (sys::connect(probe.get(), where, sizeof address) == 0) {
    return base::fail(ErrorCode::kExists, "a ringway-netd runs at " + options_.path);
  }
  ::unlink(options_.path.c_str());
  listener_.reset(sys::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener_ || sys::bind(listener_.get(), where, sizeof address) != 0 ||
      ::chmod(options_.path.c_str(), 0666) != 0 || sys::listen(listener_.get(), 64) != 0) {
    return base::fail_errno("cannot listen at " + options_.path);
  }
  return {};
}

Result<void> Netd::watch_links() {
  links_.reset(sys::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  if (!links_ ||
      sys::bind(links_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return base::fail_errno("cannot watch interfaces");
  }
  return {};
}

void Netd::stop() {
  const std::uint64_t one = 1;
  sys::write(wake_.get(), &one, sizeof one);
}

void Netd::run() {
  for (;;) {
    std::vector<pollfd> fds{
        {wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}, {links_.get(), POLLIN, 0}};
    for (const auto& session : sessions_) {
      fds.push_back({(session->socket ? session->socket : session->life).get(), POLLIN, 0});
    }
    const bool idle = sessions_.empty() && !options_.stay;
    const int n = sys::poll(fds.data(), fds.size(), idle ? kIdleMs : -1);
    if (n < 0 && errno != EINTR) return;
    if (n == 0 || (fds[0].revents & POLLIN) != 0) return;
    if (fds[2].revents != 0) links_changed();
    // A session that ends goes from the list: look at copies of the pointers.
    for (std::size_t i = 3; i < fds.size(); ++i) {
      if (fds[i].revents != 0) serve(*sessions_[i - 3]);
    }
    std::erase_if(sessions_,
                  [](const auto& session) { return !session->socket && !session->life; });
    if (fds[1].revents != 0) accept_one();
  }
}

void Netd::accept_one() {
  auto session = std::make_unique<Session>();
  session->socket.reset(
      sys::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!session->socket || sessions_.size() >= 1024) return;
  ucred peer{};
  socklen_t length = sizeof peer;
  if (sys::getsockopt(session->socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return;
  session->uid = peer.uid;
  session->pid = static_cast<std::uint32_t>(peer.pid);
  session->start_time = start_time_of(session->pid);
  sessions_.push_back(std::move(session));
}

void Netd::serve(Session& session) {
  if (!session.socket) return end(session);  // a program of a predecessor's time has died
  Request request;
  base::UniqueFd memfd;
  const auto got = receive_request(session.socket.get(), request, memfd);
  if (!got) {
    if (got.error().os_errno != EAGAIN) end(session);
    return;
  }
  std::vector<base::UniqueFd> fds;
  auto answer = handle(session, request, memfd.get(), fds);
  // What was lent for binding is given back before the program hears of it.
  memfd.reset();
  Answer to_send;
  if (answer) {
    to_send = *answer;
  } else {
    to_send.error = answer.error().os_errno != 0 ? answer.error().os_errno : EINVAL;
    answer.error().what.copy(to_send.text.data(), to_send.text.size() - 1);
  }
  if (!send_answer(session.socket.get(), to_send, fds)) end(session);
}

Result<Answer> Netd::handle(Session& session, const Request& request, int memfd,
                            std::vector<base::UniqueFd>& fds) {
  const auto plain = [](const Result<void>& result) -> Result<Answer> {
    if (!result) return tl::unexpected(result.error());
    return Answer{};
  };
  if (request.type == RequestType::kOpen) return open_queues(session, request, memfd, fds);
  if (request.type == RequestType::kJoin) return join(session, request);
  if (session.device == nullptr) {
    return tl::unexpected(base::Error{ErrorCode::kInvalidArgument, ENODEV, "no device is open"});
  }
  switch (request.type) {
    case RequestType::kLease:
      return plain(lease(session, request.protocol, {request.address, request.port}));
    case RequestType::kDrop: {
      const auto key = driver::xdp::Steering::key(request.address, request.protocol, request.port);
      if (session.leases.erase(key) != 0) session.device->steering->drop_lease(key);
      return Answer{};
    }
    case RequestType::kBlock:
      return block(session, request);
    case RequestType::kResolve:
      return plain(resolve(session, request.address));
    default:
      return tl::unexpected(base::Error{ErrorCode::kInvalidArgument, EINVAL, "no such request"});
  }
}

void Netd::end(Session& session) {
  leave(session);
  session.socket.reset();
  session.life.reset();
}

void Netd::leave(Session& session) {
  if (session.device == nullptr) return;
  Device& device = *session.device;
  for (const auto& [key, reserved] : session.leases) device.steering->drop_lease(key);
  session.leases.clear();
  if (session.guard != 0) remove_guard(device, std::exchange(session.guard, 0));
  if (std::exchange(session.direct, false)) device.steering->write_guard(0, {});
  session.device = nullptr;
  session.bytes = 0;
  if (--device.sessions == 0) let_go(device);
}

/// The device goes back to the kernel alone.
void Netd::let_go(Device& device) {
  device.steering->remove();
  devices_.erase(device.index);
}

void Netd::links_changed() {
  alignas(nlmsghdr) std::array<std::byte, 8192> buffer;
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ssize_t n;
  while ((n = sys::recvmsg(links_.get(), &message, MSG_DONTWAIT)) > 0) {
    base::for_each_message(std::span(buffer).first(static_cast<std::size_t>(n)),
                           [this](const nlmsghdr& header, std::span<const std::byte> body) {
                             const auto index = static_cast<std::uint32_t>(
                                 base::fixed_part<ifinfomsg>(body).ifi_index);
                             if (header.nlmsg_type == RTM_DELLINK) device_gone(index);
                             if (header.nlmsg_type == RTM_NEWLINK) device_changed(index);
                           });
  }
}

/// Guards have the MTU of their device, and let out only its address.
void Netd::device_changed(std::uint32_t index) {
  const auto found = devices_.find(index);
  if (found == devices_.end()) return;
  Device& device = *found->second;
  const auto facts = driver::look_at_device(device.name);
  if (!facts) return;
  device.steering->set_mac(facts->mac);
  if (std::exchange(device.mtu, facts->mtu) == facts->mtu) return;
  for (std::uint32_t number = 1; number < RW_MAX_GUARDS; ++number) {
    const rw_guard guard = device.steering->guard(number);
    if (guard.host == 0) continue;
    for (const std::uint32_t end : {guard.host, guard.program}) {
      if (const auto set = set_mtu(end, facts->mtu); !set) options_.log(set.error().what);
    }
  }
}

/// A program that waits for its socket is not woken by the kernel: it is told.
void Netd::device_gone(std::uint32_t index) {
  Answer gone;
  gone.type = AnswerType::kDeviceGone;
  for (const auto& session : sessions_) {
    if (session->device == nullptr) continue;
    bool lost = session->device->index == index;
    if (session->guard != 0) {
      const rw_guard guard = session->device->steering->guard(session->guard);
      lost = lost || guard.host == index || guard.program == index;
    }
    if (!lost) continue;
    if (session->socket) static_cast<void>(send_answer(session->socket.get(), gone, {}));
    leave(*session);
    session->life.reset();
  }
}

}  // namespace ringway::netd
