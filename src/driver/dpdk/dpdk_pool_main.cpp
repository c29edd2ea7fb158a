#include <fmt/format.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_memory.h>
#include <rte_mempool.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "driver/dpdk/dpdk_pool.h"

namespace ringway::driver {
namespace {

using base::ErrorCode;
using base::Result;

constexpr std::size_t kPage = 4096;

DpdkPool& pool_of(const rte_mempool* mempool) {
  return *static_cast<DpdkPool*>(mempool->pool_config);
}

rte_mempool_ops operations() {
  rte_mempool_ops ops{};
  std::memcpy(ops.name, "ringway", sizeof "ringway");
  ops.alloc = [](rte_mempool*) { return 0; };
  ops.free = [](rte_mempool*) {};
  ops.enqueue = [](rte_mempool* mempool, void* const* objects, unsigned count) {
    return pool_of(mempool).put(objects, count);
  };
  ops.dequeue = [](rte_mempool* mempool, void** objects, unsigned count) {
    return pool_of(mempool).get(objects, count);
  };
  ops.get_count = [](const rte_mempool* mempool) -> unsigned {
    return pool_of(mempool).frames().free_count();
  };
  return ops;
}

tl::unexpected<base::Error> fail_dpdk(const char* what) {
  return base::fail(ErrorCode::kSystem, fmt::format("{}: {}; give it more memory (eal=-m 256 ...)",
                                                    what, rte_strerror(rte_errno)));
}

}  // namespace

Result<std::unique_ptr<DpdkPool>> DpdkPool::create(const Frames& frames) {
  if (!std::has_single_bit(frames.pool->slot_size())) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "dpdk needs frames whose size is a power of two");
  }
  std::unique_ptr<DpdkPool> pool(new DpdkPool(frames));
  if (auto done = pool->set_up(); !done) return tl::unexpected(done.error());
  return pool;
}

Result<void> DpdkPool::set_up() {
  // Once for the process; a second registration is refused, which is as good.
  static const rte_mempool_ops ops = operations();
  static const int registered = rte_mempool_register_ops(&ops);
  if (registered < 0)
    return base::fail(ErrorCode::kSystem, "DPDK has no room for mempool operations");
  static int number = 0;
  shift_ = static_cast<std::uint32_t>(std::countr_zero(frames_.pool->slot_size()));
  const std::size_t bytes = (frames_.size_bytes() + kPage - 1) / kPage * kPage;
  if (reinterpret_cast<std::uintptr_t>(frames_.base()) % kPage == 0) {
    registered_ = rte_extmem_register(frames_.base(), bytes, nullptr, 0, kPage) == 0;
  }
  const std::string name = fmt::format("ringway{}", number++);
  mempool_ = rte_mempool_create_empty(name.c_str(), frames_.pool->size(), sizeof(rte_mbuf), 0,
                                      sizeof(rte_pktmbuf_pool_private), SOCKET_ID_ANY, 0);
  if (mempool_ == nullptr) return fail_dpdk("no DPDK mempool");
  rte_pktmbuf_pool_private sizes{};
  sizes.mbuf_data_room_size =
      static_cast<std::uint16_t>(std::min<std::uint32_t>(frames_.pool->slot_size(), UINT16_MAX));
  mbufs_.reserve(frames_.pool->size());
  if (rte_mempool_set_ops_byname(mempool_, "ringway", this) != 0) {
    return fail_dpdk("no DPDK mempool operations");
  }
  rte_pktmbuf_pool_init(mempool_, &sizes);
  if (rte_mempool_populate_default(mempool_) < 0) return fail_dpdk("no memory for DPDK's mbufs");
  if (mbufs_.size() != frames_.pool->size()) {
    return base::fail(ErrorCode::kSystem, "DPDK made fewer mbufs than there are frames");
  }
  bind_all();
  return {};
}

DpdkPool::~DpdkPool() {
  // To be rid of a mempool, DPDK takes all mbufs out of it: that takes no frames any more.
  closing_ = true;
  if (mempool_ != nullptr) rte_mempool_free(mempool_);
  if (registered_) {
    const std::size_t bytes = (frames_.size_bytes() + kPage - 1) / kPage * kPage;
    rte_extmem_unregister(frames_.base(), bytes);
  }
}

void DpdkPool::bind_all() {
  for (std::uint32_t i = 0; i < mbufs_.size(); ++i) {
    rte_mbuf* mbuf = mbufs_[i];
    rte_pktmbuf_init(mempool_, nullptr, mbuf, i);
    std::byte* frame = frames_.pool->data(i);
    mbuf->buf_addr = frame;
    mbuf->buf_len =
        static_cast<std::uint16_t>(std::min<std::uint32_t>(frames_.pool->slot_size(), UINT16_MAX));
    const rte_iova_t iova = rte_mem_virt2iova(frame);
    rte_mbuf_iova_set(mbuf, iova == RTE_BAD_IOVA ? reinterpret_cast<rte_iova_t>(frame) : iova);
  }
  bound_ = true;
}

std::uint32_t DpdkPool::slot(const rte_mbuf* mbuf) const {
  const auto offset = static_cast<const std::byte*>(mbuf->buf_addr) - frames_.base();
  return static_cast<std::uint32_t>(offset >> shift_);
}

/// While the mempool is made, DPDK puts each new mbuf in: these are collected.
int DpdkPool::put(void* const* objects, unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    auto* mbuf = static_cast<rte_mbuf*>(objects[i]);
    if (bound_) {
      frames_.pool->free(slot(mbuf));
    } else {
      mbufs_.push_back(mbuf);
    }
  }
  return 0;
}

int DpdkPool::get(void** objects, unsigned count) {
  if (closing_) {
    std::fill_n(objects, count, nullptr);
    return 0;
  }
  if (!bound_ || frames_.pool->free_count() < count) return -ENOBUFS;
  for (unsigned i = 0; i < count; ++i) objects[i] = mbufs_[frames_.pool->allocate()];
  return 0;
}

}  // namespace ringway::driver
