#pragma once

#include <signal.h>

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "netmap/registry.h"

/// The shared file as this process sees it, and what its fd numbers mean. Any thread.
namespace ringway::netmap {

/// Where the file is mapped; nullptr before attach() has succeeded.
extern constinit std::atomic<Registry*> mapped_registry;
inline Registry* registry() { return mapped_registry.load(std::memory_order_acquire); }
/// Maps the file of the network (RINGWAY_NETWORK), made if it is not there. Once per process.
base::Result<Registry*> attach();
/// Gives the file up; the last process removes it unless persistent ports live in it.
void leave();
/// In the child after fork.
void renew_after_fork();

/// Address of an offset of the file, and of an allocator's span.
inline std::byte* at(std::uint64_t offset) {
  return reinterpret_cast<std::byte*>(mapped_registry.load(std::memory_order_relaxed)) + offset;
}
inline std::uint64_t span_of(std::uint32_t allocator) { return kControlBytes + allocator * kSpan; }
/// Precondition: the ring's memory exists.
inline abi::Ring* ring_of(const Kring& kring) {
  return reinterpret_cast<abi::Ring*>(at(kring.ring));
}
/// Gives the pages of [offset, offset + bytes) back to the system.
void drop_pages(std::uint64_t offset, std::uint64_t bytes);
/// False if the system has no room for the pages.
bool reserve_pages(std::uint64_t offset, std::uint64_t bytes);
/// Maps a part of the file where the caller wants it (nullptr: anywhere). MAP_FAILED and errno.
void* map_file(void* where, std::size_t bytes, int protection, int flags, std::uint64_t offset);

/// A new descriptor fd that stands for `descriptor`, as open(2) would return it. -errno.
int make_descriptor_fd(std::uint32_t descriptor, int flags);
/// True while any process has the descriptor's open file.
bool is_held(std::uint32_t descriptor);
/// The descriptor behind an fd number that this process knows; kNone otherwise.
std::uint32_t descriptor_of(int fd);
/// Finds out what a number that came by exec or SCM_RIGHTS is. kNone: not a netmap descriptor.
std::uint32_t adopt(int fd);
void remember(int fd, std::uint32_t descriptor);
void forget(int fd);
/// One above the highest number that was remembered; 0: never any.
extern std::atomic<int> fd_limit;
/// True for descriptors of the provider itself, which a program must not close.
bool owns_fd(int fd);

/// The bell of this thread, for others to ring; made at first use. kNone: no more bells.
std::uint32_t own_bell();
/// Polls readable once somebody rang.
int own_bell_fd();
void silence_own_bell();
void ring_bell(std::uint32_t bell);

/// Holds the registry's lock with all signals blocked, so that no handler finds it taken.
class ControlLock {
 public:
  ControlLock();
  ~ControlLock();
  ControlLock(const ControlLock&) = delete;
  ControlLock& operator=(const ControlLock&) = delete;

 private:
  sigset_t before_;
};

}  // namespace ringway::netmap
