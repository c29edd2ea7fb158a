#undef _FORTIFY_SOURCE
#include <sys/socket.h>

#include "posix/context.h"
#include "posix/next.h"
#include "posix/sockaddr.h"
#include "posix/stack_socket.h"

// The calls that make sockets and name them. Each: is it ours? Then the stack's function, else
// libc's.

using namespace ringway::posix;  // names of libc, defined anew

#pragma GCC visibility push(default)
extern "C" {

int socket(int domain, int type, int protocol) {
  if (!is_stack_type(domain, type, protocol)) return libc::socket(domain, type, protocol);
  return result(open_socket(domain, type, protocol));
}

int bind(int fd, const sockaddr* address, socklen_t length) {
  Description* d = fds.socket(fd);
  if (d == nullptr) return libc::bind(fd, address, length);
  return result(bind_socket(fd, *d, address, length));
}

int listen(int fd, int backlog) {
  Description* d = fds.socket(fd);
  if (d == nullptr) return libc::listen(fd, backlog);
  return result(listen_socket(fd, *d, backlog));
}

int accept4(int fd, sockaddr* address, socklen_t* length, int flags) {
  Description* d = fds.socket(fd);
  if (d == nullptr) return libc::accept4(fd, address, length, flags);
  return result(accept_socket(*d, address, length, flags));
}

int accept(int fd, sockaddr* address, socklen_t* length) {
  Description* d = fds.socket(fd);
  if (d == nullptr) return libc::accept(fd, address, length);
  return result(accept_socket(*d, address, length, 0));
}

int connect(int fd, const sockaddr* address, socklen_t length) {
  Description* d = fds.socket(fd);
  if (d == nullptr) return libc::connect(fd, address, length);
  return result(connect_socket(fd, *d, address, length));
}
int __connect(int fd, const sockaddr* address, socklen_t length) __attribute__((alias("connect")));

int shutdown(int fd, int how) {
  Description* d = fds.socket(fd);
  if (d == nullptr) return libc::shutdown(fd, how);
  return result(shutdown_socket(*d, how));
}

int getsockname(int fd, sockaddr* address, socklen_t* length) {
  Description* d = fds.socket(fd);
  if (d == nullptr) return libc::getsockname(fd, address, length);
  return result(local_name(*d, address, length));
}

int getpeername(int fd, sockaddr* address, socklen_t* length) {
  Description* d = fds.socket(fd);
  if (d == nullptr) return libc::getpeername(fd, address, length);
  return result(peer_name(*d, address, length));
}

int getsockopt(int fd, int level, int name, void* value, socklen_t* length) {
  Description* d = fds.socket(fd);
  if (d == nullptr) return libc::getsockopt(fd, level, name, value, length);
  return result(get_option(*d, level, name, value, length));
}

int setsockopt(int fd, int level, int name, const void* value, socklen_t length) {
  Description* d = fds.socket(fd);
  if (d == nullptr) return libc::setsockopt(fd, level, name, value, length);
  return result(set_option(fd, *d, level, name, value, length));
}

}  // extern "C"
#pragma GCC visibility pop
