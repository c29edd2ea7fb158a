#include "control/proto/channel.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include "base/sys.h"
#include "control/proto/admin.h"
#include "control/proto/links.h"
#include "control/proto/stacks.h"

namespace ringway::control::proto {

using base::ErrorCode;
using base::Result;

namespace {

// One more than allowed is received, so that too many are seen and closed rather than cut off.
constexpr std::size_t kControlBytes = CMSG_SPACE(sizeof(int) * (kMaxFds + 1));

// Every descriptor is owned before anything is judged. False if there were too many.
bool take_fds(msghdr& header, Received& into) {
  bool fits = true;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      base::UniqueFd owned(fd);
      if (into.fd_count == kMaxFds) {
        fits = false;
      } else {
        into.fds[into.fd_count++] = std::move(owned);
      }
    }
  }
  return fits;
}

template <typename... Messages>
Shape find_shape(Type type) {
  Shape shape;
  ((Messages::kType == type ? void(shape = {sizeof(Messages), Messages::kFds}) : void()), ...);
  return shape;
}

}  // namespace

Shape shape_of(Type type) {
  return find_shape<Hello, HelloReply, RegisterStack, StackReply, JoinStack, HoldReply, CloseStack,
                    LeaseListen, ReleaseListen, ListenActive, CloneListen, PortReply,
                    LeaseEphemeral, ReleaseEphemeral, BlockReply, OpenLink, FetchLink, RestoreLink,
                    CloseLink, LinkReply, LinkOffer, PeerGone, Resolve, HostReply, Ok, Failure,
                    Status, StatusReply, SetStay, Shutdown, AddNetwork, RemoveNetwork, ListNetworks,
                    NetworksReply, OpenTable, FetchArena, FdReply>(type);
}

Result<Received> receive(int socket) {
  Received message;
  iovec part{message.bytes.data(), message.bytes.size()};
  alignas(cmsghdr) std::array<std::byte, kControlBytes> control;
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const ssize_t got = base::sys::recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) return base::fail_errno("cannot receive from the control socket");
  const bool fits = take_fds(header, message);
  message.size = static_cast<std::size_t>(got);
  if (!fits || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return base::fail(ErrorCode::kCorrupt, "a control message is too long or has too many files");
  }
  if (message.size == 0) return message;
  if (message.size < sizeof(Head) || message.head().magic != kMagic ||
      message.head().size != message.size) {
    return base::fail(ErrorCode::kCorrupt, "a control message has no valid head");
  }
  return message;
}

Result<void> send_bytes(int socket, std::span<const std::byte> message, std::span<const int> fds) {
  if (fds.size() > kMaxFds) return base::fail(ErrorCode::kInvalidArgument, "too many files");
  iovec part{const_cast<std::byte*>(message.data()), message.size()};
  alignas(cmsghdr) std::array<std::byte, kControlBytes> control{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  if (base::sys::sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    return base::fail_errno("cannot send on the control socket");
  }
  return {};
}

Result<void> check(const Received& message) {
  const Head& head = message.head();
  if (head.version != kVersion) {
    return base::fail(ErrorCode::kCorrupt,
                      fmt::format("the other side speaks control version {}, this one {}: use "
                                  "programs and ringwayd of one release",
                                  head.version, kVersion));
  }
  const Shape shape = shape_of(head.type);
  if (shape.bytes == 0 || message.size != shape.bytes || message.fd_count != shape.fds) {
    return base::fail(
        ErrorCode::kCorrupt,
        fmt::format("a control message of type {} has {} bytes and {} files",
                    static_cast<unsigned>(head.type), message.size, message.fd_count));
  }
  return {};
}

}  // namespace ringway::control::proto
