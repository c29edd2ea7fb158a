#pragma once

#include <sys/socket.h>

#include <cstdint>

#include "base/time.h"
#include "posix/fd_table.h"

/// The socket calls, for descriptions that belong to a stack. All return a result or -errno; those
/// that may sleep follow O_NONBLOCK, SO_RCVTIMEO and SO_SNDTIMEO, and Linux's rules for signals.
namespace ringway::posix {

/// True for what socket(2) would make a stack socket.
bool is_stack_type(int domain, int type, int protocol);
/// A new fd; `type` with its flags.
int open_socket(int domain, int type, int protocol);

int bind_socket(int fd, Description& d, const sockaddr* address, socklen_t length);
int listen_socket(int fd, Description& d, int backlog);
int connect_socket(int fd, Description& d, const sockaddr* address, socklen_t length);
int accept_socket(Description& d, sockaddr* address, socklen_t* length, int flags);
int shutdown_socket(Description& d, int how);
int local_name(Description& d, sockaddr* address, socklen_t* length);
int peer_name(Description& d, sockaddr* address, socklen_t* length);
int set_option(int fd, Description& d, int level, int name, const void* value, socklen_t length);
int get_option(Description& d, int level, int name, void* value, socklen_t* length);

/// A kernel socket takes the place of this one behind every fd of it: options, address and epoll
/// interests go along. 0 or -errno; on failure nothing has changed. Precondition: no connection.
int demote(int fd, Description& d);

/// Sleeps until one of `events` (or an error) holds. `timeout_ns` 0: for ever, and handlers with
/// SA_RESTART do not end it. 0, -EAGAIN after the timeout, -EINTR.
int sleep_for(Description& d, std::uint32_t events, std::int64_t timeout_ns);

/// Keeps a description's socket for the length of a call that sleeps: another thread may close the
/// fd meanwhile, and as on Linux the sleeper stays and then ends with what comes.
class Pin {
 public:
  explicit Pin(Description& d) : entry_{FdKind::kSocket, fds.index_of(d)} {
    if (!fds.hold(entry_)) entry_ = {};
  }
  ~Pin();
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;

 private:
  FdEntry entry_;
};

/// Drops one fd's reference; the last one closes the socket.
void let_go(FdEntry entry);

}  // namespace ringway::posix
