#include "posix/passing.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/sys.h"
#include "base/unique_fd.h"
#include "posix/context.h"
#include "posix/image.h"
#include "posix/next.h"

namespace ringway::posix {
namespace {

namespace sys = base::sys;
using runtime::SocketId;
using runtime::StackHandover;

/// What lies in a passport's queue, with the descriptors of `stack` that are not -1, in order.
struct Passport {
  static constexpr std::uint64_t kMagic = 0x52696e67'50617331U;  // "RingPas1"

  static constexpr std::uint64_t kLayout = sizeof(StackHandover) << 16 | sizeof(ImageSocket);

  std::uint64_t magic = kMagic;
  std::uint64_t layout = kLayout;
  ImageSocket socket;
  StackHandover stack;
};

using Control = std::array<char, CMSG_SPACE(sizeof(int) * StackHandover::kFds)>;

template <typename F>
void for_each_right(msghdr& message, F f) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    unsigned char* at = CMSG_DATA(c);
    const auto* const end = reinterpret_cast<unsigned char*>(c) + c->cmsg_len;
    for (; at + sizeof(int) <= end; at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, at, sizeof fd);
      const int other = f(fd);
      if (other != fd) std::memcpy(at, &other, sizeof other);
    }
  }
}

bool put_in(int end, const Passport& passport) {
  alignas(cmsghdr) Control control{};
  std::vector<int> over;
  for (const int fd : passport.stack.fds) {
    if (fd >= 0) over.push_back(fd);
  }
  Passport copy = passport;
  iovec part{&copy, sizeof copy};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!over.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(sizeof(int) * over.size());
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * over.size());
    std::memcpy(CMSG_DATA(rights), over.data(), sizeof(int) * over.size());
  }
  return sys::sendmsg(end, &message, MSG_NOSIGNAL) == sizeof copy;
}

/// The passports of one message.
class Passing {
 public:
  /// A descriptor to send in place of `fd`; -1: it could not be made (error()).
  int replace(int fd) {
    Description* d = fds.socket(fd);
    if (d == nullptr) return fd;
    int ends[2] = {-1, -1};
    if (sys::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return fail(-errno);
    base::UniqueFd here(ends[1]);
    sent_.emplace_back(ends[0]);
    Passport passport;
    passport.socket = describe(*d);
    if (!network()->pass(d->id(), &passport.stack)) return fail(-EBADF);
    // From here on the hold is the passport's: without a word from a receiver it ends with it.
    const bool first =
        std::find(stacks_.begin(), stacks_.end(), passport.stack.inode) == stacks_.end();
    if (!first) passport.stack.fds.fill(-1);
    stacks_.push_back(passport.stack.inode);
    const int outcome = put_in(here.get(), passport) ? 0 : -errno;
    network()->watch_passed(d->id(), std::move(here));
    return outcome < 0 ? fail(outcome) : ends[0];
  }
  int error() const { return error_; }

 private:
  int fail(int error) {
    if (error_ == 0) error_ = error;
    return -1;
  }

  std::vector<base::UniqueFd> sent_;  // the message has its own once it is on its way
  std::vector<std::uint64_t> stacks_;
  int error_ = 0;
};

bool is_passport(int fd) {
  int type = 0;
  socklen_t length = sizeof type;
  if (sys::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0 || type != SOCK_SEQPACKET) {
    return false;
  }
  std::uint64_t magic = 0;
  iovec part{&magic, sizeof magic};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  return sys::recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT) == sizeof magic &&
         magic == Passport::kMagic;
}

/// Takes what lies in a passport. The descriptors in it are the caller's.
bool open_passport(int fd, Passport& passport) {
  alignas(cmsghdr) Control control{};
  iovec part{&passport, sizeof passport};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = sys::recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  std::vector<base::UniqueFd> over;
  for_each_right(message, [&](int right) { return over.emplace_back(right), right; });
  if (got != sizeof passport || passport.layout != Passport::kLayout) return false;
  std::size_t next = 0;
  for (std::int32_t& right : passport.stack.fds) {
    if (right >= 0) right = next < over.size() ? over[next].release() : -1;
    if (right >= 0) ++next;
  }
  return true;
}

/// The description that this process has of the socket already: an open file is shared by all fds.
FdEntry known(const SocketId& id) {
  for (int fd = 0; fd < fds.limit(); ++fd) {
    const FdEntry entry = fds.find(fd);
    if (entry.kind != FdKind::kSocket || !(fds.socket_at(entry.index).id() == id)) continue;
    if (fds.hold(entry)) return entry;
  }
  return {};
}

void take_passport(int fd) {
  Passport passport;
  const int flags = sys::fcntl(fd, F_GETFD);
  const bool opened = open_passport(fd, passport);
  SocketId& id = passport.socket.id;
  const bool taken = opened && join() != nullptr && network()->take(passport.stack, &id) == 0;
  const char word = 'T';
  if (taken) sys::write(fd, &word, 1);
  // In any case nobody is to read from the passport: its number becomes a placeholder.
  put_placeholder(fd, (flags & FD_CLOEXEC) != 0);
  if (!taken) return;
  FdEntry entry = known(id);
  if (entry.kind == FdKind::kOther) {
    entry = {FdKind::kSocket, make_description(passport.socket)};
    if (entry.index == 0) return network()->release(id);
  }
  fds.put(fd, entry);
}

}  // namespace

bool passes_sockets(const msghdr& message) {
  if (message.msg_controllen == 0 || !fds.any() || network() == nullptr || has_left()) return false;
  bool any = false;
  msghdr copy = message;
  for_each_right(copy, [&](int fd) {
    any = any || fds.socket(fd) != nullptr;
    return fd;
  });
  return any;
}

ssize_t send_passports(int fd, const msghdr& message, int flags) {
  std::vector<std::max_align_t> control(message.msg_controllen / sizeof(std::max_align_t) + 1);
  std::memcpy(control.data(), message.msg_control, message.msg_controllen);
  msghdr copy = message;
  copy.msg_control = control.data();
  Passing passing;
  for_each_right(copy, [&](int right) { return passing.replace(right); });
  if (passing.error() < 0) return passing.error();
  const ssize_t sent = libc::sendmsg(fd, &copy, flags);
  return sent < 0 ? -errno : sent;
}

void take_passports(msghdr& message) {
  for_each_right(message, [](int fd) {
    if (is_passport(fd)) take_passport(fd);
    return fd;
  });
}

}  // namespace ringway::posix
