// Waking whoever waits for frames of a memif port.

#include <sys/epoll.h>

#include <atomic>

#include "base/sys.h"
#include "driver/memif/memif_bell.h"
#include "driver/memif/memif_port.h"

namespace ringway::driver {

namespace sys = base::sys;
using base::Result;
using memif::ring_bell;

void MemifPort::listen_to(int fd) {
  if (!epoll_ || fd == watched_) return;
  epoll_event event{};
  event.events = EPOLLIN;
  // One that was closed has left the epoll by itself; a listener waits while there is a peer.
  if (watched_ >= 0) {
    static_cast<void>(sys::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, watched_, &event));
  }
  watched_ = fd;
  if (fd >= 0) static_cast<void>(sys::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event));
}

Result<int> MemifPort::arm() {
  if (!epoll_) {
    epoll_.reset(sys::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll_) return base::fail_errno("no epoll for a memif port");
    listen_to(control_.fd());
    if (up_) {
      epoll_event event{};
      event.events = EPOLLIN;
      static_cast<void>(sys::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, rx_bell(), &event));
      rx_ring().want_bell(true);
      std::atomic_thread_fence(std::memory_order_seq_cst);
      const std::uint16_t end = options_.master ? rx_ring().head() : rx_ring().tail();
      if (end != rx_) ring_bell(rx_bell());
    }
  }
  return epoll_.get();
}

}  // namespace ringway::driver
