#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>

#include <cstdint>

#include "netmap/process.h"
#include "netmap/wait.h"

/// What the shim calls: /dev/netmap among a program's files. Functions that act return a result or
/// -errno; the predicates cost a load or two where no netmap descriptor was ever seen.
namespace ringway::netmap::hooks {

inline bool active() { return fd_limit.load(std::memory_order_relaxed) != 0; }
inline bool is_netmap(int fd) { return active() && descriptor_of(fd) != kNone; }
inline bool any_netmap(const pollfd* items, nfds_t count) {
  if (!active()) return false;
  for (nfds_t i = 0; i < count; ++i) {
    if (descriptor_of(items[i].fd) != kNone) return true;
  }
  return false;
}
bool any_netmap(int count, const fd_set* read, const fd_set* write, const fd_set* except);

bool is_device(const char* path);
int open_device(int flags);
/// `before` the number is closed it still means something; the caller closes it.
int close_fd(int fd);
/// `to` is now what `from` is (kNone'd numbers are fine); what it was before is let go.
void duplicated(int from, int to);
/// The numbers [first, last] may have been closed by other means.
void review(unsigned first, unsigned last);
/// True for a request that only a netmap descriptor can have.
bool takes_ioctl(int fd, unsigned long request);
int ioctl(int fd, unsigned long request, void* argument);
/// Is it a descriptor that was never seen by this process? Looks at the file.
bool takes_mmap(int fd);
/// MAP_FAILED with errno.
void* mmap(void* where, std::size_t bytes, int protection, int flags, int fd, off_t offset);
/// Descriptors that came with a message.
void received(const msghdr& message);

int select(int count, fd_set* read, fd_set* write, fd_set* except, std::int64_t nanoseconds,
           const sigset_t* mask, WaitOthers others);

/// Descriptors in epoll instances: the kernel's instance holds everything else.
bool has_interests(int epoll_fd);
int epoll_control(int epoll_fd, int operation, int fd, const epoll_event* event);
/// The system's look at an instance without waiting; a result or -errno.
using LookAtEpoll = int (*)(int epoll_fd, epoll_event* events, int most);
int epoll_wait(int epoll_fd, epoll_event* events, int most, std::int64_t nanoseconds,
               const sigset_t* mask, WaitOthers others, LookAtEpoll look);
/// The number of an instance or of a descriptor is closed.
void forget_interests(int fd);

}  // namespace ringway::netmap::hooks
