#include "reaper/sandbox.h"

#include <seccomp.h>
#include <sys/prctl.h>

#include <memory>

namespace ringway::reaper {

base::Result<void> enter_sandbox() {
  ::prctl(PR_SET_DUMPABLE, 0);
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(
      ::seccomp_init(SCMP_ACT_KILL_PROCESS), [](scmp_filter_ctx f) {
        if (f != nullptr) ::seccomp_release(f);
      });
  if (filter == nullptr) return base::fail_errno("no seccomp filter could be made");
  // The last line is what libc's allocator needs, and what a signal or a stop leaves behind.
  for (const int call :
       {SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(close), SCMP_SYS(ppoll), SCMP_SYS(poll),
        SCMP_SYS(clock_gettime), SCMP_SYS(membarrier), SCMP_SYS(futex), SCMP_SYS(exit),
        SCMP_SYS(exit_group), SCMP_SYS(munmap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(mmap),
        SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall)}) {
    if (const int error = ::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0); error != 0) {
      errno = -error;
      return base::fail_errno("a seccomp rule could not be made");
    }
  }
  if (const int error = ::seccomp_load(filter.get()); error != 0) {
    errno = -error;
    return base::fail_errno("the seccomp filter could not be loaded");
  }
  return {};
}

}  // namespace ringway::reaper
