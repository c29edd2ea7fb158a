#undef _FORTIFY_SOURCE
#include <limits.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "netmap/hooks.h"
#include "posix/context.h"
#include "posix/next.h"
#include "posix/passing.h"
#include "posix/sockaddr.h"
#include "posix/splice.h"
#include "posix/transfer.h"
#include "posix/waiting.h"

// The calls that move bytes.

using namespace ringway::posix;
using ringway::base::Endpoint;

namespace {

ssize_t receive_into(Description& d, void* to, size_t n, int flags) {
  const iovec part{to, n};
  return result(ringway::posix::receive(d, &part, 1, flags, nullptr, nullptr));
}

ssize_t send_from(int fd, Description& d, const void* from, size_t n, int flags) {
  const iovec part{const_cast<void*>(from), n};
  return result(ringway::posix::send(fd, d, &part, 1, n, flags, nullptr));
}

// _FORTIFY_SOURCE: the program's buffer is smaller than it said.
[[noreturn]] void overflow() { __builtin_trap(); }

/// sendmmsg(2) on a kernel's socket.
int send_all(int fd, mmsghdr* messages, unsigned count, int flags) {
  unsigned plain = 0;
  while (plain < count && !passes_sockets(messages[plain].msg_hdr)) ++plain;
  if (plain == count || plain != 0) return libc::sendmmsg(fd, messages, plain, flags);
  const ssize_t sent = result(send_passports(fd, messages[0].msg_hdr, flags));
  if (sent < 0) return -1;
  messages[0].msg_len = static_cast<unsigned>(sent);
  return 1;  // the rest is for another call: sendmmsg(2) may always send fewer
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

ssize_t recv(int fd, void* to, size_t n, int flags) {
  Description* d = fds.socket(fd);
  if (d == nullptr) return libc::recv(fd, to, n, flags);
  return receive_into(*d, to, n, flags);
}
ssize_t __recv(int fd, void* to, size_t n, int flags) __attribute__((alias("recv")));

ssize_t read(int fd, void* to, size_t n) {
  Description* d = fds.socket(fd);
  if (d == nullptr) {
    if (ringway::netmap::hooks::is_netmap(fd)) return result(-EINVAL);
    return libc::read(fd, to, n);
  }
  if (n == 0) return 0;  // read(2) of nothing never waits
  return receive_into(*d, to, n, 0);
}
ssize_t __read(int fd, void* to, size_t n) __attribute__((alias("read")));

ssize_t recvfrom(int fd, void* to, size_t n, int flags, sockaddr* address, socklen_t* length) {
  Description* d = fds.socket(fd);
  if (d == nullptr) return libc::recvfrom(fd, to, n, flags, address, length);
  const iovec part{to, n};
  if (address == nullptr || length == nullptr) return receive_into(*d, to, n, flags);
  Endpoint from;
  const ssize_t got = receive(*d, &part, 1, flags, &from, nullptr);
  if (got < 0) return result(got);
  if (d->is_stream()) {
    *length = 0;  // a stream names no sender
  } else {
    write_address(d->domain, from, address, length);
  }
  return got;
}

ssize_t recvmsg(int fd, msghdr* message, int flags) {
  Description* d = fds.socket(fd);
  if (d == nullptr) {
    const ssize_t got = libc::recvmsg(fd, message, flags);
    // Rights that are only looked at come again.
    if (got >= 0 && message->msg_controllen != 0 && (flags & MSG_PEEK) == 0) {
      take_passports(*message);
    }
    if (got >= 0 && message->msg_controllen != 0) ringway::netmap::hooks::received(*message);
    return got;
  }
  return result(receive_message(*d, message, flags));
}

int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
  Description* d = fds.socket(fd);
  if (d == nullptr) {
    const int got = libc::recvmmsg(fd, messages, count, flags, timeout);
    for (int i = 0; i < got && (flags & MSG_PEEK) == 0; ++i) {
      if (messages[i].msg_hdr.msg_controllen != 0) take_passports(messages[i].msg_hdr);
    }
    return got;
  }
  const auto deadline = deadline_after(timeout);
  unsigned done = 0;
  while (done < count) {
    const int wait = done > 0 && (flags & MSG_WAITFORONE) != 0 ? MSG_DONTWAIT : 0;
    const ssize_t got =
        receive_message(*d, &messages[done].msg_hdr, (flags & ~MSG_WAITFORONE) | wait);
    if (got < 0) return done > 0 ? static_cast<int>(done) : result(static_cast<int>(got));
    messages[done++].msg_len = static_cast<unsigned>(got);
    if (timeout != nullptr && network()->now() >= deadline) break;
  }
  return static_cast<int>(done);
}

ssize_t readv(int fd, const iovec* parts, int count) {
  Description* d = fds.socket(fd);
  if (d == nullptr) return libc::readv(fd, parts, count);
  const ssize_t total = total_of(parts, count);
  if (total <= 0) return result(total);
  return result(receive(*d, parts, count, 0, nullptr, nullptr));
}

ssize_t send(int fd, const void* from, size_t n, int flags) {
  Description* d = fds.socket(fd);
  if (d == nullptr) return libc::send(fd, from, n, flags);
  return send_from(fd, *d, from, n, flags);
}
ssize_t __send(int fd, const void* from, size_t n, int flags) __attribute__((alias("send")));

ssize_t write(int fd, const void* from, size_t n) {
  Description* d = fds.socket(fd);
  if (d == nullptr) {
    if (ringway::netmap::hooks::is_netmap(fd)) return result(-EINVAL);
    return libc::write(fd, from, n);
  }
  return send_from(fd, *d, from, n, 0);
}
ssize_t __write(int fd, const void* from, size_t n) __attribute__((alias("write")));

ssize_t sendto(int fd, const void* from, size_t n, int flags, const sockaddr* address,
               socklen_t length) {
  Description* d = fds.socket(fd);
  if (d == nullptr) return libc::sendto(fd, from, n, flags, address, length);
  if (address == nullptr || length == 0 || d->is_stream()) {
    return send_from(fd, *d, from, n, flags);
  }
  Endpoint to;
  const int wrong = read_address(d->domain, address, length, &to);
  if (wrong < 0) return result(wrong);
  const iovec part{const_cast<void*>(from), n};
  return result(send(fd, *d, &part, 1, n, flags, &to));
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  Description* d = fds.socket(fd);
  if (d == nullptr) {
    if (message != nullptr && passes_sockets(*message)) {
      return result(send_passports(fd, *message, flags));
    }
    return libc::sendmsg(fd, message, flags);
  }
  return result(send_message(fd, *d, message, flags));
}

int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) {
  Description* d = fds.socket(fd);
  if (d == nullptr) return send_all(fd, messages, count, flags);
  unsigned done = 0;
  while (done < count) {
    const ssize_t sent = send_message(fd, *d, &messages[done].msg_hdr, flags);
    if (sent < 0) return done > 0 ? static_cast<int>(done) : result(static_cast<int>(sent));
    messages[done++].msg_len = static_cast<unsigned>(sent);
    if ((d = fds.socket(fd)) == nullptr) {  // became the kernel's on the way
      const int rest = libc::sendmmsg(fd, messages + done, count - done, flags);
      return static_cast<int>(done) + (rest > 0 ? rest : 0);
    }
  }
  return static_cast<int>(done);
}

ssize_t writev(int fd, const iovec* parts, int count) {
  Description* d = fds.socket(fd);
  if (d == nullptr) return libc::writev(fd, parts, count);
  const ssize_t total = total_of(parts, count);
  if (total < 0) return result(total);
  return result(send(fd, *d, parts, count, static_cast<size_t>(total), 0, nullptr));
}

ssize_t sendfile(int out, int in, off_t* offset, size_t count) {
  Description* d = fds.socket(out);
  if (fds.socket(in) != nullptr) return result(ssize_t{-EINVAL});  // a socket is not a file
  if (d == nullptr) return libc::sendfile(out, in, offset, count);
  return result(send_file(out, *d, in, offset, count));
}
ssize_t sendfile64(int out, int in, off64_t* offset, size_t count)
    __attribute__((alias("sendfile")));

ssize_t splice(int in, off64_t* in_offset, int out, off64_t* out_offset, size_t n, unsigned flags) {
  Description* source = fds.socket(in);
  Description* sink = fds.socket(out);
  if (source != nullptr && sink != nullptr) return result(ssize_t{-EINVAL});  // one must be a pipe
  const bool ours = source != nullptr || sink != nullptr;
  if ((source != nullptr && in_offset != nullptr) || (sink != nullptr && out_offset != nullptr)) {
    return result(ssize_t{-EINVAL});
  }
  if (ours && (in_offset != nullptr || out_offset != nullptr)) return result(ssize_t{-ESPIPE});
  if (source != nullptr) return result(splice_from_socket(*source, out, n, flags));
  if (sink != nullptr) return result(splice_to_socket(in, out, *sink, n, flags));
  return libc::splice(in, in_offset, out, out_offset, n, flags);
}

ssize_t __read_chk(int fd, void* to, size_t n, size_t room) {
  return n <= room ? read(fd, to, n) : (overflow(), -1);
}

ssize_t __recv_chk(int fd, void* to, size_t n, size_t room, int flags) {
  return n <= room ? recv(fd, to, n, flags) : (overflow(), -1);
}

ssize_t __recvfrom_chk(int fd, void* to, size_t n, size_t room, int flags, sockaddr* address,
                       socklen_t* length) {
  return n <= room ? recvfrom(fd, to, n, flags, address, length) : (overflow(), -1);
}

}  // extern "C"
#pragma GCC visibility pop
