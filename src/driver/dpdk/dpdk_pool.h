#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "driver/frames.h"

struct rte_mbuf;
struct rte_mempool;

namespace ringway::driver {

/// A DPDK mempool whose buffers are the frames of a FramePool: taking an mbuf out takes a frame out
/// of the pool, and the other way round. Nothing is copied, and no frame is set aside.
///
///   mbuf i of the mempool, for ever:  buf_addr = slot i
///
/// An mbuf has no external buffer in DPDK's sense (which would be unpinned with each free): it is a
/// direct one whose buffer lies elsewhere, which drivers cannot tell apart. One thread, as the
/// pool.
class DpdkPool {
 public:
  /// Registers the frames' memory with DPDK, if it is aligned to pages.
  static base::Result<std::unique_ptr<DpdkPool>> create(const Frames& frames);
  ~DpdkPool();
  DpdkPool(const DpdkPool&) = delete;
  DpdkPool& operator=(const DpdkPool&) = delete;

  rte_mempool* mempool() const { return mempool_; }
  mem::FramePool& frames() const { return *frames_.pool; }
  rte_mbuf* mbuf(std::uint32_t slot) const { return mbufs_[slot]; }
  std::uint32_t slot(const rte_mbuf* mbuf) const;

  /// For DPDK, through the operations of the mempool.
  int put(void* const* objects, unsigned count);
  int get(void** objects, unsigned count);

 private:
  explicit DpdkPool(const Frames& frames) : frames_(frames) {}
  base::Result<void> set_up();
  void bind_all();

  Frames frames_;
  rte_mempool* mempool_ = nullptr;
  std::vector<rte_mbuf*> mbufs_;
  bool registered_ = false;
  bool bound_ = false;
  bool closing_ = false;
  std::uint32_t shift_ = 0;  ///< log2 of the slot size
};

}  // namespace ringway::driver
