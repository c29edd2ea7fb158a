#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include "posix/context.h"
#include "posix/fd_table.h"

/// Bytes in and out of stack sockets. All return bytes or -errno, and sleep as the description
/// says.
namespace ringway::posix {

ssize_t receive_slowly(Description& d, const iovec* parts, int count, int flags,
                       base::Endpoint* from, int* out_flags, ssize_t first);
ssize_t send_slowly(int fd, Description& d, const iovec* parts, int count, int flags,
                    const base::Endpoint* to, ssize_t first);

/// Those that a stack does not know; MSG_TRUNC means two things.
constexpr int kOwnReceiveFlags = MSG_WAITALL | MSG_OOB | MSG_ERRQUEUE | MSG_TRUNC;

/// `from` and `out_flags` may be null.
inline ssize_t receive(Description& d, const iovec* parts, int count, int flags,
                       base::Endpoint* from, int* out_flags) {
  constexpr int kRuntimeFlags = MSG_PEEK | MSG_TRUNC;
  ssize_t got = -EAGAIN;
  if ((flags & kOwnReceiveFlags) == 0) [[likely]] {
    got = network()->receive(d.id(), parts, count, flags & kRuntimeFlags, from, out_flags);
    if (got != -EAGAIN) return got;
  }
  return receive_slowly(d, parts, count, flags, from, out_flags, got);
}

/// `total`: the bytes of `parts`. Raises SIGPIPE as send(2) does.
inline ssize_t send(int fd, Description& d, const iovec* parts, int count, std::size_t total,
                    int flags, const base::Endpoint* to) {
  ssize_t sent = -EAGAIN;
  if (to == nullptr) [[likely]] {
    constexpr int kRuntimeFlags = MSG_MORE | MSG_NOSIGNAL | MSG_OOB;
    sent = network()->send(d.id(), parts, count, flags & kRuntimeFlags, nullptr);
    if (sent == static_cast<ssize_t>(total)) return sent;
  }
  return send_slowly(fd, d, parts, count, flags, to, sent);
}

/// recvmsg and sendmsg on a stack socket.
ssize_t receive_message(Description& d, msghdr* message, int flags);
ssize_t send_message(int fd, Description& d, const msghdr* message, int flags);
/// sendfile(2) into a stack socket.
ssize_t send_file(int fd, Description& d, int in, off_t* offset, std::size_t count);
/// The sum of the parts' lengths; -EINVAL as readv(2): too many parts or bytes.
ssize_t total_of(const iovec* parts, int count);

}  // namespace ringway::posix
