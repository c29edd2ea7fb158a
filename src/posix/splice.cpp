#include "posix/splice.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/sys.h"
#include "base/unique_fd.h"
#include "posix/transfer.h"

namespace ringway::posix {
namespace {

namespace sys = base::sys;

constexpr std::size_t kPiece = 64 * 1024;  // what a pipe holds

std::byte* piece() {
  static thread_local std::unique_ptr<std::byte[]> t_piece;
  if (t_piece == nullptr) t_piece = std::make_unique<std::byte[]>(kPiece);
  return t_piece.get();
}

bool is_pipe(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
}

/// Waits, unless it must not, until the pipe takes something; how much it surely takes.
ssize_t room_in(int pipe, bool may_wait) {
  const bool waits = may_wait && (sys::fcntl(pipe, F_GETFL) & O_NONBLOCK) == 0;
  pollfd item{pipe, POLLOUT, 0};
  const int ready = sys::poll(&item, 1, waits ? -1 : 0);
  if (ready < 0) return -errno;
  if (ready == 0) return -EAGAIN;
  int queued = 0;
  sys::ioctl(pipe, FIONREAD, &queued);
  return std::max(sys::fcntl(pipe, F_GETPIPE_SZ) - queued, 1);
}

ssize_t write_without_waiting(int pipe, const iovec& part) {
  const long written =
      sys::raw(SYS_pwritev2, pipe, reinterpret_cast<long>(&part), 1, -1, -1, RWF_NOWAIT);
  if (written != -EOPNOTSUPP) return written;
  const ssize_t plain = sys::writev(pipe, &part, 1);
  return plain < 0 ? -errno : plain;
}

}  // namespace

ssize_t splice_from_socket(Description& d, int pipe, std::size_t count, unsigned flags) {
  if (!is_pipe(pipe)) return -EINVAL;
  if (count == 0) return 0;
  const ssize_t room = room_in(pipe, (flags & SPLICE_F_NONBLOCK) == 0);
  if (room < 0) return room;
  iovec part{piece(), std::min({count, kPiece, static_cast<std::size_t>(room)})};
  // Looked at first: what the pipe does not take stays in the socket. As on Linux, the flag is
  // about the pipe; whether a read of the socket waits is the socket's O_NONBLOCK alone.
  const ssize_t got = receive(d, &part, 1, MSG_PEEK, nullptr, nullptr);
  if (got <= 0) return got;
  part.iov_len = static_cast<std::size_t>(got);
  const ssize_t moved = write_without_waiting(pipe, part);
  if (moved <= 0) return moved;
  part.iov_len = static_cast<std::size_t>(moved);
  return receive(d, &part, 1, MSG_DONTWAIT, nullptr, nullptr);
}

ssize_t splice_to_socket(int pipe, int fd, Description& d, std::size_t count, unsigned flags) {
  if (!is_pipe(pipe)) return -EINVAL;
  // A copy first: what the socket does not take stays in the pipe.
  int ends[2] = {-1, -1};
  if (sys::pipe2(ends, O_CLOEXEC) < 0) return -errno;
  const base::UniqueFd reader(ends[0]);
  const base::UniqueFd writer(ends[1]);
  const ssize_t there = tee(pipe, writer.get(), std::min(count, kPiece), flags & SPLICE_F_NONBLOCK);
  if (there <= 0) return there < 0 ? -errno : 0;
  const ssize_t got = sys::read(reader.get(), piece(), static_cast<std::size_t>(there));
  if (got <= 0) return got < 0 ? -errno : 0;
  const iovec part{piece(), static_cast<std::size_t>(got)};
  const int how = ((flags & SPLICE_F_NONBLOCK) != 0 ? MSG_DONTWAIT : 0) |
                  ((flags & SPLICE_F_MORE) != 0 ? MSG_MORE : 0);
  const ssize_t sent = send(fd, d, &part, 1, part.iov_len, how, nullptr);
  if (sent > 0) sys::read(pipe, piece(), static_cast<std::size_t>(sent));
  return sent;
}

}  // namespace ringway::posix
