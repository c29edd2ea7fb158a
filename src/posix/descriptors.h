#pragma once

#include <stdio.h>

#include "posix/fd_table.h"

/// close, dup, fcntl and ioctl where the shim has a say. All return a result or -errno.
namespace ringway::posix {

/// Precondition: `fd` is in the table.
int close_known(int fd);
/// close_range(2). Descriptors of the runtime stay open.
int close_between(unsigned first, unsigned last, int flags);
/// A new fd, `least` or above, for what `entry` is. Precondition: `fd` is in the table.
int duplicate(int fd, FdEntry entry, int least, bool close_on_exec);
/// dup2 and dup3 over any two numbers that differ.
int duplicate_onto(int from, int to, int flags);

int control(int fd, Description& d, int command, void* argument);
int device_control(int fd, Description& d, unsigned long request, void* argument);

/// A stdio stream over a stack socket.
FILE* open_stream(int fd, const char* mode);

}  // namespace ringway::posix
