#pragma once

#include <sys/epoll.h>

#include "base/time.h"
#include "posix/fd_table.h"

/// epoll over both worlds: the kernel's instance holds kernel fds, a set of the runtime holds stack
/// sockets. All return a result or -errno.
namespace ringway::posix {

int create_epoll(int flags);
int control_epoll(int epoll_fd, int op, int fd, epoll_event* event);
/// `deadline` {0}: only looks. `mask` as in epoll_pwait.
int wait_epoll(int epoll_fd, Epoll& e, epoll_event* events, int most, base::Instant deadline,
               const sigset_t* mask);
/// True when the stack's part of an epoll fd has something, or one nested in it.
bool epoll_is_ready(Epoll& e);
/// True for the shim's own wake-up eventfd.
bool is_bell(int fd);
/// The last fd of an instance is closed.
void close_epoll(Epoll& e);

/// Interests of sockets that may still become the kernel's are remembered, to go along with them.
void forget_interests(Description& d);
void move_interests(Description& d);
/// Held over fork, so that the child does not find it locked.
void lock_interests();
void unlock_interests();

}  // namespace ringway::posix
