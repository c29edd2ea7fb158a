#pragma once

#include <atomic>
#include <cstdint>

#include "posix/option_log.h"
#include "runtime/runtime.h"

namespace ringway::posix {

/// What an fd number means to the shim. Everything it does not know is libc's.
enum class FdKind : std::uint32_t { kOther = 0, kSocket = 1, kEpoll = 2 };

/// One entry of the fd table, as loaded: 8 bytes, so that a look-up is one load.
struct FdEntry {
  FdKind kind = FdKind::kOther;
  std::uint32_t index = 0;  ///< of the Description or Epoll
};

/// An open stack socket of this process, shared by the fds that dup() made (POSIX: an open file
/// description). Fields are atomics because one thread may close what another one uses; the
/// socket's generation then makes the late call fail with EBADF.
struct alignas(64) Description {
  enum Flag : std::uint32_t {
    kNonBlocking = 1,
    kBound = 2,       ///< bind() was called on the stack
    kActive = 4,      ///< connected, listening or has sent: it stays the stack's
    kInEpoll = 8,     ///< may have interests that a demotion must move
    kConnected = 32,  ///< connect() has succeeded
    kAsync = 16,      ///< O_ASYNC as set; no signal is ever sent for it
  };

  std::atomic<std::uint64_t> index_and_generation{0};
  std::atomic<std::uint32_t> arena{0};
  std::atomic<std::uint32_t> references{0};  ///< fds, and calls that sleep in it
  std::atomic<std::uint32_t> flags{0};
  std::atomic<std::uint32_t> next_free{0};
  std::atomic<std::int32_t> domain{0};
  std::atomic<std::int32_t> type{0};
  std::atomic<std::int64_t> receive_timeout_ns{0};  ///< SO_RCVTIMEO; 0: none
  std::atomic<std::int64_t> send_timeout_ns{0};
  std::atomic<OptionLog*> log{nullptr};  ///< what a kernel socket in its place needs to hear

  runtime::SocketId id() const {
    const std::uint64_t both = index_and_generation.load(std::memory_order_relaxed);
    return {static_cast<std::uint32_t>(both), static_cast<std::uint32_t>(both >> 32),
            arena.load(std::memory_order_relaxed)};
  }
  void set_id(const runtime::SocketId& id) {
    index_and_generation.store(std::uint64_t{id.generation} << 32 | id.index,
                               std::memory_order_relaxed);
    arena.store(id.arena, std::memory_order_relaxed);
  }
  bool has(Flag flag) const { return (flags.load(std::memory_order_relaxed) & flag) != 0; }
  void set(Flag flag, bool on = true) {
    if (on) {
      flags.fetch_or(flag, std::memory_order_relaxed);
    } else {
      flags.fetch_and(~static_cast<std::uint32_t>(flag), std::memory_order_relaxed);
    }
  }
  bool is_stream() const { return type.load(std::memory_order_relaxed) == SOCK_STREAM; }
};

/// An epoll instance. `set` holds its stack sockets; the kernel's instance holds the rest.
struct alignas(64) Epoll {
  std::atomic<std::uint32_t> references{0};
  std::atomic<std::uint32_t> next_free{0};
  std::atomic<std::uint32_t> set{0};         ///< SetId; 0: no stack socket was ever added
  std::atomic<std::uint32_t> kernel_fds{0};  ///< added and not removed; may count closed ones
  std::atomic<std::uint32_t> waiters{0};     ///< threads that sleep in the kernel, without a set
  std::atomic<std::uint32_t> nested{0};      ///< epoll fds added that may have sets
  std::atomic<bool> kernel_filled{false};    ///< the kernel's fds took all the room the last time
  std::atomic<std::int64_t> kernel_seen_ns{0};  ///< when the kernel's fds were last looked at
};

/// A fixed pool of T with a lock-free list of free ones: usable in a forked child without care.
template <typename T, std::uint32_t kCapacity>
class Pool {
 public:
  /// 0 when there is none; the object is as its last user left it. Indices start at 1.
  std::uint32_t take() {
    std::uint64_t head = head_.load(std::memory_order_acquire);
    while (static_cast<std::uint32_t>(head) != 0) {
      const auto index = static_cast<std::uint32_t>(head);
      const std::uint64_t next = tagged(head, items_[index].next_free.load());
      if (head_.compare_exchange_weak(head, next, std::memory_order_acq_rel)) return index;
    }
    const std::uint32_t fresh = used_.fetch_add(1, std::memory_order_relaxed) + 1;
    if (fresh < kCapacity) return fresh;
    used_.fetch_sub(1, std::memory_order_relaxed);
    return 0;
  }
  void give(std::uint32_t index) {
    std::uint64_t head = head_.load(std::memory_order_acquire);
    do {
      items_[index].next_free.store(static_cast<std::uint32_t>(head));
    } while (!head_.compare_exchange_weak(head, tagged(head, index), std::memory_order_acq_rel));
  }
  T& operator[](std::uint32_t index) { return items_[index]; }

 private:
  /// The upper half counts changes, against a head that left and came back.
  static std::uint64_t tagged(std::uint64_t old, std::uint32_t index) {
    return ((old >> 32) + 1) << 32 | index;
  }
  std::atomic<std::uint64_t> head_{0};
  std::atomic<std::uint32_t> used_{0};
  T items_[kCapacity];
};

/// fd number -> meaning, for one process. All of it lies in zeroed static memory, so it works
/// before any constructor has run and costs only the pages that are touched.
class FdTable {
 public:
  static constexpr int kFds = 1 << 20;
  static constexpr std::uint32_t kSockets = 1 << 18;
  static constexpr std::uint32_t kEpolls = 1 << 14;

  FdEntry find(int fd) const {
    if (static_cast<unsigned>(fd) >= static_cast<unsigned>(kFds)) return {};
    return unpack(entries_[fd].load(std::memory_order_acquire));
  }
  /// The open socket behind `fd`, or nullptr: libc's.
  Description* socket(int fd) {
    const FdEntry entry = find(fd);
    return entry.kind == FdKind::kSocket ? &sockets_[entry.index] : nullptr;
  }
  Epoll* epoll(int fd) {
    const FdEntry entry = find(fd);
    return entry.kind == FdKind::kEpoll ? &epolls_[entry.index] : nullptr;
  }
  Description& socket_at(std::uint32_t index) { return sockets_[index]; }
  Epoll& epoll_at(std::uint32_t index) { return epolls_[index]; }

  /// A fresh description with one reference, not yet in the table; 0 when there are too many.
  std::uint32_t new_socket(const runtime::SocketId& id, int domain, int type);
  std::uint32_t new_epoll();
  /// False when the number is beyond the table.
  bool put(int fd, FdEntry entry);
  /// Forgets `fd` and returns what it meant; the reference passes to the caller.
  FdEntry remove(int fd);
  /// Adds a reference unless the last one is already gone.
  bool hold(FdEntry entry);
  /// Drops one; true for the last, whose owner must then clean up and call recycle().
  bool drop(FdEntry entry);
  void recycle(FdEntry entry);

  bool any() const { return limit_.load(std::memory_order_relaxed) != 0; }
  /// One above the highest number that was ever put.
  int limit() const { return limit_.load(std::memory_order_relaxed); }
  std::uint32_t index_of(const Description& d) {
    return static_cast<std::uint32_t>(&d - &sockets_[0]);
  }

 private:
  static FdEntry unpack(std::uint64_t word) {
    return {static_cast<FdKind>(word >> 32), static_cast<std::uint32_t>(word)};
  }
  static std::uint64_t pack(FdEntry entry) {
    return static_cast<std::uint64_t>(entry.kind) << 32 | entry.index;
  }
  std::atomic<std::uint32_t>& references(FdEntry entry);

  std::atomic<std::uint64_t> entries_[kFds];
  std::atomic<int> limit_{0};
  Pool<Description, kSockets> sockets_;
  Pool<Epoll, kEpolls> epolls_;
};

/// The table of this process.
extern constinit FdTable fds;

}  // namespace ringway::posix
