#include "posix/process.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/sys.h"
#include "posix/next.h"

namespace ringway::posix {
int detach(bool keep_directory, bool keep_streams) {
  const pid_t child = fork_process();
  if (child < 0) return -errno;
  if (child > 0) end_process(0);
  if (setsid() < 0) return -errno;
  if (!keep_directory && chdir("/") != 0) return -errno;
  if (keep_streams) return 0;
  const int null = open("/dev/null", O_RDWR);
  if (null < 0) return -errno;
  for (int fd = 0; fd <= 2; ++fd) ::dup2(null, fd);
  if (null > 2) base::sys::close(null);
  return 0;
}

void before_identity_change() {
  if (geteuid() != 0) return;
  runtime::Runtime* joined = join();
  if (joined != nullptr) joined->settle();
}

void end_process(int status) {
  leave_network();
  libc::exit_now(status);
  __builtin_unreachable();
}

}  // namespace ringway::posix
