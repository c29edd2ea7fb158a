#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "mem/lock.h"

namespace ringway::mem {

/// First bytes of every arena. The state behind it is plain data that links by index only.
struct ArenaHeader {
  static constexpr std::uint64_t kMagic = 0x52696e6757617931U;  // "RingWay1"

  std::uint64_t magic;
  std::uint64_t layout_hash;  ///< of the state's layout; a mapping with another one is refused
  std::uint64_t size_bytes;   ///< of the whole arena
  std::uint32_t owner_pid;    ///< who made it
  std::uint32_t poisoned;     ///< 1: a holder died inside; every connection is to be reset
  StackLock lock;
};

/// Checks that `fd` is a memfd that nobody can resize (seals SHRINK, GROW and SEAL) and returns its
/// size.
base::Result<std::size_t> check_sealed(int fd);

/// A sealed memfd of `size` bytes, zero-filled and sparse, not mapped. The caller owns the fd.
base::Result<int> make_sealed_memfd(std::string_view name, std::size_t size);

/// A mapped arena: a sealed memfd reserved at full size. Pages are touched only as the state grows.
/// Owns the mapping and the fd; unmapping it ends neither the arena nor other mappings.
class Arena {
 public:
  Arena() = default;
  ~Arena();
  Arena(Arena&& other) noexcept { swap(other); }
  Arena& operator=(Arena&& other) noexcept {
    swap(other);
    return *this;
  }

  /// Makes and maps a new arena. `layout_hash` names the state's layout.
  static base::Result<Arena> create(std::string_view name, std::size_t size,
                                    std::uint64_t layout_hash);
  /// Maps an arena that somebody else made; takes `fd` over, also on failure.
  /// Errors: kCorrupt if seals, size, magic or layout hash do not match.
  static base::Result<Arena> map(int fd, std::uint64_t layout_hash, bool read_only);

  ArenaHeader& header() const { return *static_cast<ArenaHeader*>(base_); }
  /// The state: the whole mapping seen as T, whose first member is an ArenaHeader.
  template <typename T>
  T& as() const {
    return *static_cast<T*>(base_);
  }
  int fd() const { return fd_; }
  std::size_t size() const { return size_; }
  explicit operator bool() const { return base_ != nullptr; }

 private:
  void swap(Arena& other) noexcept;

  void* base_ = nullptr;
  std::size_t size_ = 0;
  int fd_ = -1;
};

}  // namespace ringway::mem
