#include "posix/transfer.h"

#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>

#include "base/sys.h"
#include "posix/next.h"
#include "posix/sockaddr.h"
#include "posix/stack_socket.h"

namespace ringway::posix {
namespace {

using runtime::Runtime;

/// What is left of a vector of buffers after some bytes have gone.
class Rest {
 public:
  Rest(const iovec* parts, int count) : parts_(parts), count_(count) {}

  void skip(std::size_t bytes) {
    if (bytes == 0) return;
    if (parts_ != copy_.data()) {
      std::memcpy(copy_.data(), parts_, sizeof(iovec) * static_cast<std::size_t>(count_));
      parts_ = copy_.data();
    }
    int gone = 0;
    while (gone < count_ && bytes >= copy_[static_cast<std::size_t>(gone)].iov_len) {
      bytes -= copy_[static_cast<std::size_t>(gone)].iov_len;
      ++gone;
    }
    count_ -= gone;
    std::memmove(copy_.data(), copy_.data() + gone,
                 sizeof(iovec) * static_cast<std::size_t>(count_));
    if (count_ == 0) return;
    copy_[0].iov_base = static_cast<char*>(copy_[0].iov_base) + bytes;
    copy_[0].iov_len -= bytes;
  }
  const iovec* parts() const { return parts_; }
  int count() const { return count_; }

 private:
  const iovec* parts_;
  int count_;
  std::array<iovec, IOV_MAX> copy_;
};

bool may_sleep(const Description& d, int flags) {
  return (flags & MSG_DONTWAIT) == 0 && !d.has(Description::kNonBlocking);
}

ssize_t broken_pipe(const Description& d, int flags) {
  if ((flags & MSG_NOSIGNAL) == 0 && d.is_stream()) {
    base::sys::raw(SYS_tgkill, base::sys::getpid(), base::sys::gettid(), SIGPIPE);
  }
  return -EPIPE;
}

/// A datagram to somewhere that may not be in the network.
ssize_t send_to(int fd, Description& d, const iovec* parts, int count, int flags,
                const base::Endpoint& to) {
  if (to.port == 0) return -EINVAL;  // Linux, udp_sendmsg
  ssize_t sent = Runtime::kNotOurs;
  if (policy().takes(d.type, to)) {
    sent = network()->send(d.id(), parts, count, flags & MSG_NOSIGNAL, &to);
  }
  if (sent >= 0 && !d.has(Description::kActive)) d.set(Description::kActive);
  if (sent != Runtime::kNotOurs) return sent;
  // A socket that serves the network stays in it.
  if (d.has(Description::kActive) || d.has(Description::kBound)) return -ENETUNREACH;
  const int domain = d.domain.load(std::memory_order_relaxed);
  const int demoted = demote(fd, d);
  if (demoted < 0) return demoted;
  sockaddr_storage address{};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = sizeof address;
  write_address(domain, to, reinterpret_cast<sockaddr*>(&address), &message.msg_namelen);
  message.msg_iov = const_cast<iovec*>(parts);
  message.msg_iovlen = static_cast<std::size_t>(count);
  const ssize_t outcome = libc::sendmsg(fd, &message, flags);
  return outcome < 0 ? -errno : outcome;
}

/// tcp(7): MSG_TRUNC takes bytes from a stream and throws them away.
ssize_t discard(Description& d, ssize_t count, int flags) {
  std::array<std::byte, 16384> nowhere;
  const iovec part{nowhere.data(), std::min(static_cast<std::size_t>(count), nowhere.size())};
  return receive(d, &part, 1, flags, nullptr, nullptr);
}

}  // namespace

ssize_t total_of(const iovec* parts, int count) {
  if (count < 0 || count > IOV_MAX) return -EINVAL;
  std::size_t total = 0;
  for (int i = 0; i < count; ++i) {
    if (parts[i].iov_len > SSIZE_MAX - total) return -EINVAL;
    total += parts[i].iov_len;
  }
  return static_cast<ssize_t>(total);
}

ssize_t receive_slowly(Description& d, const iovec* parts, int count, int flags,
                       base::Endpoint* from, int* out_flags, ssize_t first) {
  if ((flags & MSG_OOB) != 0) return -EINVAL;       // no urgent data is ever there
  if ((flags & MSG_ERRQUEUE) != 0) return -EAGAIN;  // and no error queue
  if ((flags & (MSG_TRUNC | MSG_PEEK)) == MSG_TRUNC && d.is_stream()) {
    return discard(d, total_of(parts, count), flags & ~MSG_TRUNC);
  }
  const bool whole = (flags & MSG_WAITALL) != 0 && d.is_stream() && (flags & MSG_PEEK) == 0;
  const bool sleeps = may_sleep(d, flags);
  if (first == -EAGAIN && !sleeps && (flags & kOwnReceiveFlags) == 0) return first;
  const std::int64_t timeout_ns = d.receive_timeout_ns.load(std::memory_order_relaxed);
  const Pin pin(d);
  Rest rest(parts, count);
  const ssize_t wanted = total_of(parts, count);
  ssize_t total = 0;
  while (true) {
    const ssize_t got = network()->receive(d.id(), rest.parts(), rest.count(),
                                           flags & (MSG_PEEK | MSG_TRUNC), from, out_flags);
    if (got >= 0) {
      total += got;
      if (!whole || got == 0 || total >= wanted) return total;
      rest.skip(static_cast<std::size_t>(got));
      continue;
    }
    if (got != -EAGAIN || !sleeps) return total > 0 ? total : got;
    // Linux: only a datagram socket's sleep ends at shutdown(SHUT_RD), a look is still EAGAIN.
    if (!d.is_stream() && (network()->readiness(d.id()) & EPOLLRDHUP) != 0) return 0;
    const int woken = sleep_for(d, EPOLLIN | EPOLLRDHUP, timeout_ns);
    if (woken < 0) return total > 0 ? total : woken;
  }
}

ssize_t send_slowly(int fd, Description& d, const iovec* parts, int count, int flags,
                    const base::Endpoint* to, ssize_t first) {
  if (to != nullptr && d.is_stream()) to = nullptr;  // as Linux: the peer is known
  constexpr int kRuntimeFlags = MSG_MORE | MSG_NOSIGNAL | MSG_OOB;
  const std::int64_t timeout_ns = d.send_timeout_ns.load(std::memory_order_relaxed);
  const Pin pin(d);
  const ssize_t wanted = total_of(parts, count);
  Rest rest(parts, count);
  ssize_t total = 0;
  ssize_t sent = first;
  for (bool again = to != nullptr || first == -EAGAIN;; again = true) {
    if (again) {
      if (to != nullptr) {
        sent = send_to(fd, d, rest.parts(), rest.count(), flags, *to);
      } else {
        sent = network()->send(d.id(), rest.parts(), rest.count(), flags & kRuntimeFlags, nullptr);
      }
    }
    // A connected datagram socket whose peer has gone.
    if (sent == Runtime::kNotOurs) sent = -ECONNREFUSED;
    if (sent >= 0) {
      total += sent;
      if (total >= wanted || !d.is_stream() || !may_sleep(d, flags)) return total;
      rest.skip(static_cast<std::size_t>(sent));
    } else if (sent != -EAGAIN || !may_sleep(d, flags)) {
      if (total > 0) return total;
      return sent == -EPIPE ? broken_pipe(d, flags) : sent;
    }
    const int woken = sleep_for(d, EPOLLOUT, timeout_ns);
    if (woken < 0) return total > 0 ? total : woken;
  }
}

ssize_t receive_message(Description& d, msghdr* message, int flags) {
  if (message == nullptr) return -EFAULT;
  const auto count = static_cast<int>(message->msg_iovlen);
  const ssize_t total = total_of(message->msg_iov, count);
  if (total < 0) return message->msg_iovlen > IOV_MAX ? -EMSGSIZE : total;
  base::Endpoint from;
  int out_flags = 0;
  const bool named = message->msg_name != nullptr && !d.is_stream();
  const ssize_t got =
      receive(d, message->msg_iov, count, flags, named ? &from : nullptr, &out_flags);
  if (got < 0) return got;
  if (named) {
    write_address(d.domain, from, static_cast<sockaddr*>(message->msg_name), &message->msg_namelen);
  } else if (message->msg_name != nullptr) {
    message->msg_namelen = 0;
  }
  message->msg_controllen = 0;
  message->msg_flags = out_flags | (flags & MSG_CMSG_CLOEXEC);
  return got;
}

ssize_t send_message(int fd, Description& d, const msghdr* message, int flags) {
  if (message == nullptr) return -EFAULT;
  const auto count = static_cast<int>(message->msg_iovlen);
  const ssize_t total = total_of(message->msg_iov, count);
  if (total < 0) return message->msg_iovlen > IOV_MAX ? -EMSGSIZE : total;
  base::Endpoint to;
  const bool named = message->msg_name != nullptr && message->msg_namelen != 0 && !d.is_stream();
  if (named) {
    const int wrong = read_address(d.domain, static_cast<const sockaddr*>(message->msg_name),
                                   message->msg_namelen, &to);
    if (wrong < 0) return wrong;
  }
  return send(fd, d, message->msg_iov, count, static_cast<std::size_t>(total), flags,
              named ? &to : nullptr);
}

ssize_t send_file(int fd, Description& d, int in, off_t* offset, std::size_t count) {
  constexpr std::size_t kPiece = 128 * 1024;
  static thread_local std::unique_ptr<std::byte[]> t_piece;
  if (t_piece == nullptr) t_piece = std::make_unique<std::byte[]>(kPiece);
  off_t at = offset != nullptr ? *offset : lseek(in, 0, SEEK_CUR);
  if (at < 0) return offset != nullptr ? -EINVAL : -errno;
  std::size_t total = 0;
  ssize_t outcome = 0;
  while (total < count) {
    const ssize_t got = pread(in, t_piece.get(), std::min(kPiece, count - total), at);
    outcome = got < 0 ? -errno : got;
    if (got <= 0) break;
    const iovec part{t_piece.get(), static_cast<std::size_t>(got)};
    // The rest of a file follows at once: no small segment in between.
    const bool more = got == static_cast<ssize_t>(kPiece) && total + kPiece < count;
    outcome = send(fd, d, &part, 1, part.iov_len, more ? MSG_MORE : 0, nullptr);
    if (outcome <= 0) break;
    total += static_cast<std::size_t>(outcome);
    at += outcome;
    if (outcome < got) break;
  }
  if (total == 0 && outcome < 0) return outcome;
  if (offset != nullptr) {
    *offset = at;
  } else {
    lseek(in, at, SEEK_SET);
  }
  return static_cast<ssize_t>(total);
}

}  // namespace ringway::posix
