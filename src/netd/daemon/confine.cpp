#include <cap-ng.h>
#include <seccomp.h>
#include <sys/prctl.h>

#include <memory>

#include "netd/daemon/netd.h"

namespace ringway::netd {

namespace {

// Linux 5.8; older headers do not have the names.
constexpr int kCapPerfmon = 38;  // the verifier lets a program compute with pointers only with it
constexpr int kCapBpf = 39;

/// Native code of other processes cannot be run or looked into, and no file system changed.
base::Result<void> limit_calls() {
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(::seccomp_init(SCMP_ACT_ALLOW),
                                                                [](scmp_filter_ctx f) {
                                                                  if (f != nullptr)
                                                                    ::seccomp_release(f);
                                                                });
  if (filter == nullptr) return base::fail_errno("no seccomp filter could be made");
  for (const int call : {SCMP_SYS(execve),
                         SCMP_SYS(execveat),
                         SCMP_SYS(fork),
                         SCMP_SYS(vfork),
                         SCMP_SYS(clone),
                         SCMP_SYS(clone3),
                         SCMP_SYS(ptrace),
                         SCMP_SYS(process_vm_readv),
                         SCMP_SYS(process_vm_writev),
                         SCMP_SYS(mount),
                         SCMP_SYS(umount2),
                         SCMP_SYS(pivot_root),
                         SCMP_SYS(chroot),
                         SCMP_SYS(setns),
                         SCMP_SYS(unshare),
                         SCMP_SYS(init_module),
                         SCMP_SYS(finit_module),
                         SCMP_SYS(kexec_load),
                         SCMP_SYS(open_by_handle_at),
                         SCMP_SYS(pidfd_getfd),
                         SCMP_SYS(setuid),
                         SCMP_SYS(setgid),
                         SCMP_SYS(capset),
                         SCMP_SYS(io_uring_setup)}) {
    if (const int error = ::seccomp_rule_add(filter.get(), SCMP_ACT_KILL_PROCESS, call, 0);
        error != 0) {
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

}  // namespace

base::Result<void> confine() {
  ::prctl(PR_SET_DUMPABLE, 0);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  ::capng_clear(CAPNG_SELECT_BOTH);
  const auto both = static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED);
  // Programs and maps; sockets on devices; frames in memory that is not swapped; ports under 1024.
  for (const int capability : {static_cast<int>(CAP_NET_ADMIN), static_cast<int>(CAP_NET_RAW),
                               static_cast<int>(CAP_IPC_LOCK),
                               static_cast<int>(CAP_NET_BIND_SERVICE), kCapPerfmon, kCapBpf}) {
    ::capng_update(CAPNG_ADD, both, static_cast<unsigned>(capability));
  }
  if (::capng_apply(CAPNG_SELECT_BOTH) < 0) {
    return base::fail_errno("capabilities cannot be given up");
  }
  return limit_calls();
}

}  // namespace ringway::netd
