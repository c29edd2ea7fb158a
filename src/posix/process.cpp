#include "posix/process.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

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

std::string find_on_path(const char* file) {
  const std::string_view name(file);
  if (name.empty() || name.find('/') != std::string_view::npos) return std::string(name);
  const char* path = getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/bin:/usr/bin";  // execvp(3)
  for (bool more = true; more;) {
    const std::size_t colon = rest.find(':');
    const std::string_view directory = rest.substr(0, colon);
    std::string candidate(directory.empty() ? "." : directory);
    candidate.append("/").append(name);
    struct stat status {};
    if (stat(candidate.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
        access(candidate.c_str(), X_OK) == 0) {
      return candidate;
    }
    more = colon != std::string_view::npos;
    if (more) rest.remove_prefix(colon + 1);
  }
  return std::string(name);
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
