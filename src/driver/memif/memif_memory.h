#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "driver/frames.h"
#include "driver/memif/memif_format.h"
#include "driver/memif/memif_options.h"

namespace ringway::driver::memif {

/// Memory that slave and master share, mapped here.
///
/// A peer can cut a file of its own short at any time, and then a touch of the mapping would end
/// this process with SIGBUS. What is sealed against that is `stable` and used directly; the rest
/// only through read() and write(), which let the kernel do the copy and say when it fails.
class Region {
 public:
  Region() = default;
  Region(Region&& other) noexcept { swap(other); }
  Region& operator=(Region&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Region();

  /// Maps `size` bytes of what a peer passed. Errors: kCorrupt if the file is shorter.
  static base::Result<Region> map(base::UniqueFd fd, std::uint64_t size);
  /// Memory of ours: a sealed memfd.
  static base::Result<Region> create(std::uint64_t size);
  /// Frames of ours, which are mapped already.
  static base::Result<Region> of_frames(const Frames& frames);

  std::byte* base() const { return base_; }
  std::uint64_t size() const { return size_; }
  bool stable() const { return stable_; }
  int fd() const { return fd_.get(); }
  bool contains(std::uint32_t offset, std::uint32_t length) const {
    return offset <= size_ && length <= size_ - offset;
  }
  /// The range lies within the region. False: the memory is gone.
  bool read(std::uint32_t offset, std::span<std::byte> to) const;
  bool write(std::uint32_t offset, std::span<const std::byte> from) const;

 private:
  void swap(Region& other) noexcept;

  std::byte* base_ = nullptr;
  std::uint64_t size_ = 0;
  bool stable_ = false;
  bool mapped_ = false;
  base::UniqueFd fd_;
};

/// One ring in stable memory, both sides of it. Everything in it may change at any time.
class Ring {
 public:
  Ring() = default;
  Ring(std::byte* base, unsigned log2) : base_(base), size_(1U << log2) {}

  std::uint32_t size() const { return size_; }
  std::uint16_t head() const { return word(RingLayout::kHead).load(std::memory_order_acquire); }
  std::uint16_t tail() const { return word(RingLayout::kTail).load(std::memory_order_acquire); }
  void set_head(std::uint16_t value) {
    word(RingLayout::kHead).store(value, std::memory_order_release);
  }
  void set_tail(std::uint16_t value) {
    word(RingLayout::kTail).store(value, std::memory_order_release);
  }
  /// The receiver says whether it wants the eventfd to be rung.
  void want_bell(bool wanted) {
    const std::uint16_t flags = wanted ? 0 : RingLayout::kMaskInterrupt;
    word(RingLayout::kFlags).store(flags, std::memory_order_seq_cst);
  }
  /// For the sender, after it has moved its index.
  bool bell_wanted() const {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return (word(RingLayout::kFlags).load(std::memory_order_relaxed) &
            RingLayout::kMaskInterrupt) == 0;
  }
  std::uint32_t cookie() const {
    std::uint32_t value;
    std::memcpy(&value, base_, sizeof value);
    return value;
  }
  void format() { std::memcpy(base_, &kCookie, sizeof kCookie); }

  /// One copy of a descriptor.
  Desc desc(std::uint16_t index) const {
    Desc copy;
    std::memcpy(&copy, at(index), sizeof copy);
    std::atomic_signal_fence(std::memory_order_seq_cst);  // no second look at shared memory
    return copy;
  }
  void set_desc(std::uint16_t index, const Desc& desc) {
    std::memcpy(at(index), &desc, sizeof desc);
  }

 private:
  std::atomic_ref<std::uint16_t> word(std::size_t offset) const {
    return std::atomic_ref<std::uint16_t>(*reinterpret_cast<std::uint16_t*>(base_ + offset));
  }
  std::byte* at(std::uint16_t index) const {
    return base_ + RingLayout::kDescs + std::size_t{index & (size_ - 1)} * sizeof(Desc);
  }

  std::byte* base_ = nullptr;
  std::uint32_t size_ = 0;
};

/// All that one connection works on: one ring each way, as this version has one queue.
struct Memory {
  std::vector<Region> regions;
  Ring s2m;
  Ring m2s;
  base::UniqueFd s2m_bell;  ///< the slave rings it
  base::UniqueFd m2s_bell;  ///< the master rings it

  /// Where the rings lie, for the messages of a slave.
  std::uint32_t s2m_offset = 0;
  std::uint32_t m2s_offset = 0;
  unsigned log2 = 0;
  /// As a slave that copies: where the fixed buffers lie in region 0, those of s2m first.
  std::uint32_t buffers_offset = 0;
  std::uint32_t buffer_bytes = 0;

  /// What a slave offers: rings, and buffers or, with zero copy, its frames.
  static base::Result<Memory> offer(const MemifOptions& options, const Frames& frames,
                                    unsigned log2);
};

}  // namespace ringway::driver::memif
