#include "gateway/requests.h"

#include <fmt/format.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "base/sys.h"
#include "control/proto/runtime_dir.h"

namespace ringway::gateway {

using base::ErrorCode;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

namespace {

constexpr std::size_t kMostBytes = 4096;
/// A gateway that is stopped does not hold up who asks it; opening a port may take a while.
constexpr timeval kPatience{10, 0};
/// Who connects and says nothing holds the gateway up no longer than this.
constexpr timeval kImpatience{0, 20'000};

Result<sockaddr_un> address_of(int directory, std::string_view name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = control::proto::path_within(directory, name);
  if (path.size() >= sizeof address.sun_path) {
    return base::fail(ErrorCode::kInvalidArgument, "the runtime directory's path is too long");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

std::string socket_name(std::string_view network) {
  return fmt::format("gateway-{}.sock", network);
}

void set_timeout(int fd, const timeval& time) {
  sys::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  sys::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

}  // namespace

Requests::~Requests() {
  if (socket_) ::unlinkat(directory_.get(), name_.c_str(), 0);
}

Result<Requests> Requests::listen(std::string_view network) {
  auto directory = control::proto::open_runtime_directory(control::proto::runtime_directory());
  if (!directory) return tl::unexpected(std::move(directory).error());
  Requests requests;
  requests.directory_ = std::move(*directory);
  const std::string name = socket_name(network);
  const auto address = address_of(requests.directory_.get(), name);
  if (!address) return tl::unexpected(address.error());
  ::unlinkat(requests.directory_.get(), name.c_str(), 0);
  UniqueFd socket(sys::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket || sys::bind(socket.get(), generic(*address), sizeof *address) != 0 ||
      sys::listen(socket.get(), 8) != 0) {
    return base::fail_errno("the gateway cannot listen for requests");
  }
  requests.socket_ = std::move(socket);
  requests.name_ = name;
  return requests;
}

void Requests::serve(const std::function<Result<std::string>(std::string_view)>& answer) {
  for (;;) {
    const UniqueFd peer(sys::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!peer) return;
    set_timeout(peer.get(), kImpatience);
    std::array<char, kMostBytes> text{};
    const ssize_t n = sys::read(peer.get(), text.data(), text.size());
    if (n <= 0) continue;
    const auto said = answer({text.data(), static_cast<std::size_t>(n)});
    std::string reply = said ? "+" + *said : "-" + said.error().what;
    reply.resize(std::min(reply.size(), kMostBytes));
    static_cast<void>(sys::write(peer.get(), reply.data(), reply.size()));
  }
}

Result<std::string> request(std::string_view network, std::string_view text) {
  auto directory = control::proto::open_runtime_directory(control::proto::runtime_directory());
  if (!directory) return tl::unexpected(std::move(directory).error());
  const auto address = address_of(directory->get(), socket_name(network));
  if (!address) return tl::unexpected(address.error());
  const UniqueFd socket(sys::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket || sys::connect(socket.get(), generic(*address), sizeof *address) != 0) {
    return base::fail(ErrorCode::kNotFound,
                      fmt::format("network '{}' is not attached to anything", network));
  }
  set_timeout(socket.get(), kPatience);
  std::array<char, kMostBytes> reply{};
  const bool asked =
      sys::write(socket.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const ssize_t n = asked ? sys::read(socket.get(), reply.data(), reply.size()) : -1;
  if (n <= 0) return base::fail(ErrorCode::kTimeout, "the gateway does not answer");
  const std::string said(reply.data() + 1, static_cast<std::size_t>(n) - 1);
  if (reply[0] != '+') return base::fail(ErrorCode::kUnavailable, said);
  return said;
}

}  // namespace ringway::gateway
