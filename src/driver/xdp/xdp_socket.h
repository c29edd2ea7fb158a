#pragma once

#include <linux/if_xdp.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "mem/frame_pool.h"

namespace ringway::driver::xdp {

/// Entries of each of a socket's four rings; a program that is handed a socket must know it, since
/// the kernel tells the offsets of the rings but not their sizes.
inline constexpr std::uint32_t kRingEntries = 2048;

/// A ring that user space fills (fill, tx) or empties (completion, rx). The cursors are only in the
/// memory shared with the kernel, so that a forked process goes on where the other one stopped; the
/// stack's lock makes one user of them at a time.
template <typename T>
class UserRing {
 public:
  UserRing() = default;
  UserRing(std::byte* base, const xdp_ring_offset& at)
      : producer_(reinterpret_cast<std::uint32_t*>(base + at.producer)),
        consumer_(reinterpret_cast<std::uint32_t*>(base + at.consumer)),
        flags_(reinterpret_cast<std::uint32_t*>(base + at.flags)),
        entries_(reinterpret_cast<T*>(base + at.desc)) {}

  /// To be filled: how many entries are free. The kernel is trusted not to overtake.
  std::uint32_t room() const { return kRingEntries - pending(); }
  /// To be emptied: how many wait. To be filled: how many the kernel has not taken.
  std::uint32_t pending() const {
    const std::uint32_t n = load(producer_) - load(consumer_);
    return n <= kRingEntries ? n : 0;
  }
  T& to_fill(std::uint32_t i) { return entries_[(*producer_ + i) & (kRingEntries - 1)]; }
  const T& to_empty(std::uint32_t i) const {
    return entries_[(*consumer_ + i) & (kRingEntries - 1)];
  }
  void publish(std::uint32_t n) { store(producer_, *producer_ + n); }
  void consume(std::uint32_t n) { store(consumer_, *consumer_ + n); }
  bool needs_wakeup() const { return (load(flags_) & XDP_RING_NEED_WAKEUP) != 0; }

 private:
  static std::uint32_t load(std::uint32_t* word) {
    return std::atomic_ref(*word).load(std::memory_order_acquire);
  }
  static void store(std::uint32_t* word, std::uint32_t value) {
    std::atomic_ref(*word).store(value, std::memory_order_release);
  }

  std::uint32_t* producer_ = nullptr;
  std::uint32_t* consumer_ = nullptr;
  std::uint32_t* flags_ = nullptr;
  T* entries_ = nullptr;
};

/// How a socket was bound, as whoever bound it says.
struct Binding {
  bool zero_copy = false;
  bool pieces = false;       ///< packets of several descriptors both ways (Linux 6.6)
  bool tx_checksum = false;  ///< frames may leave with the checksum to be done (Linux 6.8)
};

/// The frames of a socket: `base` is page-aligned, `chunk` 2048 or 4096.
struct Umem {
  std::byte* base = nullptr;
  std::size_t length = 0;
  std::uint32_t chunk = 0;
};

enum class CopyMode : std::uint8_t { kAuto, kCopy, kZeroCopy };

/// What is bound to. `shared`: a socket on another queue of the same device whose frames are used.
struct BindTo {
  std::string device;
  std::uint32_t index = 0;  ///< of the interface
  std::uint32_t queue = 0;
  CopyMode mode = CopyMode::kAuto;
  int shared = -1;
};

struct BoundSocket {
  base::UniqueFd fd;
  Binding binding;
};

/// Makes an AF_XDP socket, registers the frames and binds it; its rings are mapped by nobody yet.
/// Needs CAP_NET_RAW, and CAP_IPC_LOCK for more memory than RLIMIT_MEMLOCK. The queue of a socket
/// that has just been closed is busy for some milliseconds: tried again for 200 ms.
base::Result<BoundSocket> bind_socket(const BindTo& to, const Umem& umem);

/// The four rings of a bound socket as this process has them mapped. Needs no right but the fd.
class Socket {
 public:
  static base::Result<Socket> map(base::UniqueFd fd);
  Socket(Socket&& other) noexcept { swap(other); }
  Socket& operator=(Socket&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Socket();

  int fd() const { return fd_.get(); }

  UserRing<std::uint64_t> fill;
  UserRing<std::uint64_t> completion;
  UserRing<xdp_desc> rx;
  UserRing<xdp_desc> tx;

 private:
  struct Mapping {
    void* at = nullptr;
    std::size_t length = 0;
  };

  Socket() = default;
  base::Result<std::byte*> map_ring(std::size_t which, std::uint64_t entry_bytes,
                                    std::uint64_t desc_offset);
  void swap(Socket& other) noexcept;

  base::UniqueFd fd_;
  Mapping mappings_[4];
};

}  // namespace ringway::driver::xdp
