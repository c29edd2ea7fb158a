#include "netd/client/client.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/sys.h"

namespace ringway::netd {

namespace sys = base::sys;
using base::ErrorCode;
using base::Result;

namespace {

/// A bind waits for 200 ms for a queue that has just been left, for each queue.
constexpr int kPatienceMs = 5000;

Result<void> done(const Result<Answer>& answer) {
  if (!answer) return tl::unexpected(answer.error());
  return {};
}

}  // namespace

std::string socket_path() {
  if (const char* set = std::getenv("RINGWAY_NETD"); set != nullptr && *set != '\0') return set;
  struct stat status {};
  const base::UniqueFd ns(sys::openat(AT_FDCWD, "/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!ns || sys::fstat(ns.get(), &status) != 0) return "/run/ringway/netd.sock";
  return fmt::format("/run/ringway/netd-{}.sock", status.st_ino);
}

Result<Client> Client::connect() {
  const std::string path = socket_path();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return base::fail(ErrorCode::kInvalidArgument, "the path of ringway-netd is too long: " + path);
  }
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  Client client;
  client.socket_.reset(sys::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!client.socket_ ||
      sys::connect(client.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return base::fail(ErrorCode::kUnavailable,
                      fmt::format("no ringway-netd at {} ({}): start it as root: ringway-netd "
                                  "--trust USER",
                                  path, std::strerror(errno)));
  }
  return client;
}

bool Client::receive(Answer& answer, std::vector<base::UniqueFd>* fds, int timeout_ms) {
  pollfd p{fd(), POLLIN, 0};
  int ready;
  do {
    ready = sys::poll(&p, 1, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  if (ready <= 0) return false;
  iovec part{&answer, sizeof answer};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(kMaxSockets * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = sys::recvmsg(fd(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); n >= 0 && c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int passed = -1;
      std::memcpy(&passed, CMSG_DATA(c) + i * sizeof(int), sizeof passed);
      base::UniqueFd owned(passed);
      if (fds != nullptr) fds->push_back(std::move(owned));
    }
  }
  if (n != sizeof answer || answer.magic != kMagic) {
    lost_ = n == 0 || (n < 0 && errno != EAGAIN);
    return false;
  }
  answer.text.back() = '\0';
  return true;
}

Result<Answer> Client::ask(const Request& request, int fd_to_pass,
                           std::vector<base::UniqueFd>* fds) {
  Request copy = request;
  iovec part{&copy, sizeof copy};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd_to_pass >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(c), &fd_to_pass, sizeof fd_to_pass);
  }
  if (sys::sendmsg(fd(), &message, MSG_NOSIGNAL) < 0) {
    lost_ = true;
    return base::fail_errno("ringway-netd cannot be asked");
  }
  Answer answer;
  do {
    if (!receive(answer, fds, kPatienceMs)) {
      return base::fail(ErrorCode::kTimeout, "ringway-netd does not answer: see its log");
    }
    gone_ = gone_ || answer.type == AnswerType::kDeviceGone;
  } while (answer.type != AnswerType::kAnswer);
  if (answer.error == 0) return answer;
  ErrorCode code = ErrorCode::kSystem;
  if (answer.error == EACCES || answer.error == EPERM) code = ErrorCode::kPermission;
  if (answer.error == EADDRINUSE || answer.error == EBUSY) code = ErrorCode::kExists;
  return tl::unexpected(base::Error{code, answer.error, answer.text.data()});
}

Result<Lease> Client::open(const driver::XdpOptions& options, const Frames& frames) {
  Request request;
  request.type = RequestType::kOpen;
  options.device.copy(request.device.data(), request.device.size() - 1);
  request.queue = static_cast<std::int32_t>(options.queue);
  request.copy = static_cast<std::uint8_t>(options.copy);
  request.attach = static_cast<std::uint8_t>(options.attach);
  request.chain = options.chain ? 1 : 0;
  request.lease = static_cast<std::uint8_t>(options.lease);
  request.chunk = frames.chunk;
  request.offset = frames.offset;
  request.length = frames.length;
  Lease lease;
  const auto answer = ask(request, frames.memfd, &lease.queues.sockets);
  if (!answer) return tl::unexpected(answer.error());
  lease.queues.device = options.device;
  lease.queues.mac.bytes = answer->mac;
  lease.queues.mtu = answer->mtu;
  lease.queues.chain = options.chain;
  lease.queues.unfinished_checksums = answer->unfinished_checksums != 0;
  lease.queues.binding = {answer->zero_copy != 0, answer->pieces != 0, answer->tx_checksum != 0};
  lease.index = answer->index;
  lease.native = answer->native != 0;
  lease.guarded = answer->guarded != 0;
  lease.rate_mbit = answer->rate_mbit;
  return lease;
}

std::string describe(const Lease& lease) {
  if (!lease.guarded) return "direct lease: what is sent is not checked";
  if (lease.rate_mbit == 0) return "guarded lease: a veth with a source filter";
  return fmt::format("guarded lease: a veth with a source filter, {} Mbit/s", lease.rate_mbit);
}

Result<void> Client::join(const std::string& device) {
  Request request;
  request.type = RequestType::kJoin;
  device.copy(request.device.data(), request.device.size() - 1);
  return done(ask(request, -1, nullptr));
}

Result<void> Client::lease(std::uint8_t protocol, const base::Endpoint& at) {
  Request request;
  request.type = RequestType::kLease;
  request.protocol = protocol;
  request.address = at.address;
  request.port = at.port;
  return done(ask(request, -1, nullptr));
}

Result<void> Client::drop(std::uint8_t protocol, const base::Endpoint& at) {
  Request request;
  request.type = RequestType::kDrop;
  request.protocol = protocol;
  request.address = at.address;
  request.port = at.port;
  return done(ask(request, -1, nullptr));
}

Result<Client::Block> Client::block(std::uint8_t protocol, const base::IpAddress& address) {
  Request request;
  request.type = RequestType::kBlock;
  request.protocol = protocol;
  request.address = address;
  const auto answer = ask(request, -1, nullptr);
  if (!answer) return tl::unexpected(answer.error());
  return Block{answer->port, answer->count};
}

Result<void> Client::resolve(const base::IpAddress& address) {
  Request request;
  request.type = RequestType::kResolve;
  request.address = address;
  return done(ask(request, -1, nullptr));
}

bool Client::device_gone() {
  Answer answer;
  while (receive(answer, nullptr, 0)) gone_ = gone_ || answer.type == AnswerType::kDeviceGone;
  return gone_;
}

}  // namespace ringway::netd
