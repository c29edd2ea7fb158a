#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/select.h>

#include "base/time.h"

/// poll and select over stack sockets, epoll fds with stack sockets and kernel fds at once.
namespace ringway::posix {

/// True if any of them concerns the shim: else libc's call is the whole truth.
bool concerns_shim(pollfd* items, nfds_t count);
/// The number of items with revents, 0 at the deadline, -errno. `deadline` {0}: only looks.
int wait_for(pollfd* items, nfds_t count, base::Instant deadline, const sigset_t* mask);

bool concerns_shim(int count, const fd_set* read, const fd_set* write, const fd_set* except);
/// As select(2): sets are changed on success only.
int wait_for(int count, fd_set* read, fd_set* write, fd_set* except, base::Instant deadline,
             const sigset_t* mask);

/// Now plus a time in milliseconds (negative: for ever) or as given (nullptr: for ever); {0} for 0.
base::Instant deadline_after(int milliseconds);
base::Instant deadline_after(const timespec* time);

}  // namespace ringway::posix
