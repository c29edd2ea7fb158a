#include "posix/fd_table.h"

namespace ringway::posix {

constinit FdTable fds;

std::uint32_t FdTable::new_socket(const runtime::SocketId& id, int domain, int type) {
  const std::uint32_t index = sockets_.take();
  if (index == 0) return 0;
  Description& d = sockets_[index];
  d.set_id(id);
  d.flags.store(0, std::memory_order_relaxed);
  d.domain.store(domain, std::memory_order_relaxed);
  d.type.store(type, std::memory_order_relaxed);
  d.receive_timeout_ns.store(0, std::memory_order_relaxed);
  d.send_timeout_ns.store(0, std::memory_order_relaxed);
  d.references.store(1, std::memory_order_release);
  return index;
}

std::uint32_t FdTable::new_epoll() {
  const std::uint32_t index = epolls_.take();
  if (index == 0) return 0;
  Epoll& e = epolls_[index];
  e.set.store(0, std::memory_order_relaxed);
  e.kernel_fds.store(0, std::memory_order_relaxed);
  e.waiters.store(0, std::memory_order_relaxed);
  e.nested.store(0, std::memory_order_relaxed);
  e.kernel_filled.store(false, std::memory_order_relaxed);
  e.kernel_seen_ns.store(0, std::memory_order_relaxed);
  e.references.store(1, std::memory_order_release);
  return index;
}

bool FdTable::put(int fd, FdEntry entry) {
  if (static_cast<unsigned>(fd) >= static_cast<unsigned>(kFds)) return false;
  int limit = limit_.load(std::memory_order_relaxed);
  while (limit <= fd && !limit_.compare_exchange_weak(limit, fd + 1, std::memory_order_relaxed)) {
  }
  entries_[fd].store(pack(entry), std::memory_order_release);
  return true;
}

FdEntry FdTable::remove(int fd) {
  if (static_cast<unsigned>(fd) >= static_cast<unsigned>(kFds)) return {};
  return unpack(entries_[fd].exchange(0, std::memory_order_acq_rel));
}

std::atomic<std::uint32_t>& FdTable::references(FdEntry entry) {
  return entry.kind == FdKind::kSocket ? sockets_[entry.index].references
                                       : epolls_[entry.index].references;
}

bool FdTable::hold(FdEntry entry) {
  std::atomic<std::uint32_t>& count = references(entry);
  std::uint32_t now = count.load(std::memory_order_relaxed);
  while (now != 0) {
    if (count.compare_exchange_weak(now, now + 1, std::memory_order_relaxed)) return true;
  }
  return false;
}

bool FdTable::drop(FdEntry entry) {
  return references(entry).fetch_sub(1, std::memory_order_acq_rel) == 1;
}

void FdTable::recycle(FdEntry entry) {
  if (entry.kind == FdKind::kSocket) {
    OptionLog* log = sockets_[entry.index].log.load(std::memory_order_relaxed);
    if (log != nullptr) log->clear();
    sockets_.give(entry.index);
  } else {
    epolls_.give(entry.index);
  }
}

}  // namespace ringway::posix
