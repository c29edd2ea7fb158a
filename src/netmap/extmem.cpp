#include "netmap/extmem.h"

#include <sys/mman.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "base/sys.h"
#include "netmap/allocator.h"
#include "netmap/process.h"

namespace ringway::netmap {
namespace {

namespace sys = base::sys;

bool is_mapped(std::uint64_t address, std::uint64_t bytes) {
  // msync of a range with a hole fails with ENOMEM.
  return sys::raw(SYS_msync, static_cast<long>(address), static_cast<long>(bytes), MS_ASYNC) == 0;
}

Geometry geometry_of(const abi::PoolsInfo& info) {
  const auto or_usual = [](std::uint32_t given, std::uint32_t usual) {
    return given == 0 ? usual : given;
  };
  return {or_usual(info.nr_if_pool_objtotal, 2),     or_usual(info.nr_if_pool_objsize, 1024),
          or_usual(info.nr_ring_pool_objtotal, 4),   or_usual(info.nr_ring_pool_objsize, 20480),
          or_usual(info.nr_buf_pool_objtotal, 4098), or_usual(info.nr_buf_pool_objsize, 2048)};
}

void fill_info(const Allocator& memory, std::uint32_t index, abi::PoolsInfo* info) {
  info->nr_mem_id = mem_id_of(index);
  info->nr_if_pool_offset = memory.ifs.offset;
  info->nr_if_pool_objtotal = memory.ifs.total;
  info->nr_if_pool_objsize = memory.ifs.size;
  info->nr_ring_pool_offset = memory.rings.offset;
  info->nr_ring_pool_objtotal = memory.rings.total;
  info->nr_ring_pool_objsize = memory.rings.size;
  info->nr_buf_pool_offset = memory.bufs.offset;
  info->nr_buf_pool_objtotal = memory.bufs.total;
  info->nr_buf_pool_objsize = memory.bufs.size;
}

std::uint32_t find_same(std::uint64_t address) {
  Registry& r = *registry();
  const auto pid = static_cast<std::uint32_t>(sys::getpid());
  for (std::uint32_t i = 1; i < kMaxAllocators; ++i) {
    const Allocator& a = r.allocators[i];
    if (a.in_use != 0 && a.user_memory == address && a.user_pid == pid) return i;
  }
  return kNone;
}

}  // namespace

bool is_writable(std::uint64_t address, std::uint32_t bytes) {
  // A write of what is there already, by the kernel, which tells about bad pages instead of dying.
  for (std::uint64_t page = address & ~std::uint64_t{4095}; page < address + bytes; page += 4096) {
    std::uint64_t word = 0;
    iovec local{&word, sizeof word};
    iovec remote{reinterpret_cast<void*>(std::max(page, address) & ~std::uint64_t{7}), sizeof word};
    const long pid = sys::getpid();
    const auto move = [&](long number) {
      return sys::raw(number, pid, reinterpret_cast<long>(&local), 1,
                      reinterpret_cast<long>(&remote), 1, 0) == sizeof word;
    };
    if (!move(SYS_process_vm_readv) || !move(SYS_process_vm_writev)) return false;
  }
  return true;
}

int make_extmem(abi::OptExtmem* option, std::uint32_t* out) {
  const std::uint64_t address = option->nro_usrptr;
  abi::PoolsInfo& info = option->nro_info;
  if (address == 0 || address % 4096 != 0 || info.nr_memsize == 0) return EINVAL;
  *out = find_same(address);
  if (*out != kNone) {
    hold_allocator(*out);
    fill_info(registry()->allocators[*out], *out, &info);
    return 0;
  }
  if (!is_mapped(address, info.nr_memsize)) return EFAULT;
  const Geometry geometry = geometry_of(info);
  Allocator trial{};
  if (!lay_out(trial, geometry) || trial.bytes > info.nr_memsize) return ENOMEM;
  Geometry whole = geometry;  // what is left over becomes buffers
  whole.buf_total += static_cast<std::uint32_t>((info.nr_memsize - trial.bytes) / trial.bufs.size);
  int error = 0;
  const std::uint32_t index = make_allocator(whole, &error);
  if (index == 0) return error;
  Allocator& memory = registry()->allocators[index];
  const std::size_t bytes = memory.bytes > info.nr_memsize ? info.nr_memsize : memory.bytes;
  void* where = reinterpret_cast<void*>(address);
  if (map_file(where, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, span_of(index)) !=
      where) {
    drop_allocator(index);
    return EFAULT;
  }
  memory.user_memory = address;
  memory.user_pid = static_cast<std::uint32_t>(sys::getpid());
  fill_info(memory, index, &info);
  *out = index;
  return 0;
}

}  // namespace ringway::netmap
