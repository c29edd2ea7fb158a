#include "posix/next.h"

#include <dlfcn.h>

#include <cerrno>

namespace ringway::posix {
namespace {

long missing() {
  errno = ENOSYS;
  return -1;
}

}  // namespace

void* NextAddress::resolve() {
  void* address = dlsym(RTLD_NEXT, name_);
  if (address == nullptr) address = reinterpret_cast<void*>(&missing);
  address_.store(address, std::memory_order_relaxed);
  return address;
}

void resolve_all() {
  NextAddress* const all[] = {
      &libc::socket,      &libc::bind,         &libc::listen,        &libc::accept4,
      &libc::accept,      &libc::connect,      &libc::shutdown,      &libc::getsockname,
      &libc::getpeername, &libc::getsockopt,   &libc::setsockopt,    &libc::send,
      &libc::sendto,      &libc::sendmsg,      &libc::sendmmsg,      &libc::recv,
      &libc::recvfrom,    &libc::recvmsg,      &libc::recvmmsg,      &libc::read,
      &libc::write,       &libc::readv,        &libc::writev,        &libc::sendfile,
      &libc::splice,      &libc::close,        &libc::close_range,   &libc::dup,
      &libc::dup2,        &libc::dup3,         &libc::fcntl,         &libc::ioctl,
      &libc::fdopen,      &libc::poll,         &libc::ppoll,         &libc::select,
      &libc::pselect,     &libc::epoll_ctl,    &libc::epoll_create1, &libc::epoll_wait,
      &libc::epoll_pwait, &libc::epoll_pwait2, &libc::fork,          &libc::exit_now,
      &libc::execve,      &libc::execvpe,      &libc::fexecve,       &libc::sigaction,
      &libc::execveat,    &libc::posix_spawn,  &libc::vdprintf,
  };
  for (NextAddress* next : all) next->get();
}

}  // namespace ringway::posix
