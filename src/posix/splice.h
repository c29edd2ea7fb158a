#pragma once

#include <sys/types.h>

#include "posix/fd_table.h"

/// splice(2) where one side is a stack socket, and the other a pipe. A result or -errno.
namespace ringway::posix {

ssize_t splice_from_socket(Description& d, int pipe, std::size_t count, unsigned flags);
ssize_t splice_to_socket(int pipe, int fd, Description& d, std::size_t count, unsigned flags);

}  // namespace ringway::posix
