#pragma once

#include <sys/socket.h>

#include "base/address.h"

namespace ringway::posix {

/// A program's address for a socket of `domain`. 0, -EINVAL (too short), -EAFNOSUPPORT, -EFAULT.
int read_address(int domain, const sockaddr* address, socklen_t length, base::Endpoint* out);

/// Writes `endpoint` as an address of `domain`, cut at `*length`, and sets `*length` to the full
/// size (POSIX accept, getsockname). Does nothing if `address` or `length` is null.
void write_address(int domain, const base::Endpoint& endpoint, sockaddr* address,
                   socklen_t* length);

}  // namespace ringway::posix
