#include "ring/barrier.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace ringway::ring {

std::atomic<bool> AsymmetricBarrier::enrolled_{false};

void AsymmetricBarrier::enrol() {
  const bool ok = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
  enrolled_.store(ok, std::memory_order_relaxed);
}

bool AsymmetricBarrier::heavy() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0;
}

}  // namespace ringway::ring
