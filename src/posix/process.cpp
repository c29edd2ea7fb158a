#include "posix/process.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "base/sys.h"
#include "posix/context.h"
#include "posix/next.h"

namespace ringway::posix {
namespace {

bool can_run(const char* file) {
  return base::sys::raw(SYS_access, reinterpret_cast<long>(file), X_OK) == 0;
}

/// No heap: this may be the child of a process with threads.
bool can_run_in(std::string_view directory, std::string_view file) {
  char path[PATH_MAX];
  if (directory.empty()) directory = ".";
  if (directory.size() + file.size() + 2 > sizeof path) return false;
  char* end = path;
  end = static_cast<char*>(mempcpy(end, directory.data(), directory.size()));
  *end++ = '/';
  end = static_cast<char*>(mempcpy(end, file.data(), file.size()));
  *end = '\0';
  return can_run(path);
}

}  // namespace

void prepare_exec(const char* file, bool search, const char* path) {
  if (file == nullptr || network() == nullptr) return;
  // A program that tries one name after the other keeps its sockets until one is there.
  if (!search || strchr(file, '/') != nullptr) {
    if (can_run(file)) leave_network();
    return;
  }
  std::string_view rest = path != nullptr ? path : "/bin:/usr/bin";
  while (true) {
    const std::size_t end = rest.find(':');
    if (can_run_in(rest.substr(0, end), file)) return leave_network();
    if (end == std::string_view::npos) return;
    rest.remove_prefix(end + 1);
  }
}

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

void end_process(int status) {
  leave_network();
  libc::exit_now(status);
  __builtin_unreachable();
}

}  // namespace ringway::posix
