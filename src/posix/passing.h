#pragma once

#include <sys/socket.h>

namespace ringway::posix {

/// Stack sockets in SCM_RIGHTS: in place of each, a *passport* travels, one end of a socket pair in
/// whose queue lie the socket's identity and the descriptors of its stack. So each stays one
/// descriptor, however many the receiver has room for, and one that is never received takes
/// everything with it.

/// True if the control data names a stack socket.
bool passes_sockets(const msghdr& message);
/// sendmsg(2) on a kernel's socket, with passports. A result or -errno.
ssize_t send_passports(int fd, const msghdr& message, int flags);
/// After recvmsg(2) on a kernel's socket: passports become stack sockets, under their numbers.
void take_passports(msghdr& message);

}  // namespace ringway::posix
