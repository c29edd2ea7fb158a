#pragma once

#include <cerrno>
#include <span>

#include "posix/fd_table.h"
#include "posix/policy.h"
#include "runtime/runtime.h"

/// What the process is to the shim: its network, its policy, its placeholder.
namespace ringway::posix {

/// The network, joined already: every stack socket in the fd table implies it. Never nullptr then.
runtime::Runtime* network();

/// Joins the network at the first call. nullptr if that fails: one line on stderr, once, says why.
runtime::Runtime* join();

/// Joins it with the stacks that the program image before this one has left (exec).
void take_over_network(std::span<const runtime::StackHandover> handed,
                       std::span<const runtime::SocketId> kept);

/// With RINGWAY_FALLBACK=kernel, a program that cannot join goes on with kernel sockets.
bool falls_back_to_kernel();

/// RINGWAY_ONLY, RINGWAY_EXCEPT. A list that cannot be read is reported once and taken as empty.
const Policy& policy();

/// A new fd number with the process's placeholder behind it, lowest free first. -errno.
int new_placeholder(bool close_on_exec);

/// Puts the placeholder behind a number that is in use.
void put_placeholder(int fd, bool close_on_exec);

/// True for descriptors of the runtime and the shim, which programs must not close or replace.
bool is_internal(int fd);

/// Gives everything back, at the end of the process.
/// From here on all fds are libc's.
void leave_network();
bool has_left();

/// Runs `fork` with the network prepared for it.
pid_t fork_process();

/// Turns "-errno or a result" into libc's convention.
template <typename T>
T result(T value) {
  if (value >= 0) [[likely]]
    return value;
  errno = static_cast<int>(-value);
  return -1;
}

/// Keeps errno over clean-up work.
class KeepErrno {
 public:
  ~KeepErrno() { errno = saved_; }

 private:
  int saved_ = errno;
};

}  // namespace ringway::posix
