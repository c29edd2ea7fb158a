#include <dlfcn.h>
#include <fmt/format.h>
#include <limits.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <vector>

#include "base/sys.h"
#include "base/unique_fd.h"
#include "control/client/connect.h"

namespace ringway::control {

using base::ErrorCode;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

namespace {

std::string directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? std::string(".") : path.substr(0, slash);
}

bool executable(const std::string& path) { return ::access(path.c_str(), X_OK) == 0; }

// The shared library or program that this code is linked into.
std::string own_file() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&find_daemon), &info) != 0 &&
      info.dli_fname != nullptr && info.dli_fname[0] == '/') {
    return info.dli_fname;
  }
  std::array<char, PATH_MAX> link{};
  const auto length = ::readlink("/proc/self/exe", link.data(), link.size() - 1);
  return length > 0 ? std::string(link.data(), static_cast<std::size_t>(length)) : std::string();
}

struct Image {
  std::vector<std::string> texts;
  std::vector<char*> argv;
  std::vector<char*> envp;
};

constexpr int kReadyFd = 3;

Image make_image(const std::string& path, const std::string& directory, bool stay) {
  Image image;
  image.texts = {path, "--directory", directory, "--ready-fd", std::to_string(kReadyFd)};
  if (stay) image.texts.emplace_back("--stay");
  for (auto& text : image.texts) image.argv.push_back(text.data());
  image.argv.push_back(nullptr);
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    // The daemon is no client of itself.
    if (std::string_view(*variable).starts_with("LD_PRELOAD=")) continue;
    image.envp.push_back(*variable);
  }
  image.envp.push_back(nullptr);
  return image;
}

// In the child of a program with any number of threads: bare system calls only.
[[noreturn]] void become(const Image& image, int ready, int null) {
  const std::uint64_t no_signals = 0;
  sys::raw(SYS_setsid);
  // Twice, so that init becomes the parent and nobody has to wait for the daemon.
  if (sys::raw(SYS_clone, SIGCHLD) != 0) sys::raw(SYS_exit_group, 0);
  sys::raw(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&no_signals), 0,
           sizeof no_signals);
  // Out of the way first: `ready` or `null` may be one of the numbers that are about to be set.
  const int safe_ready = sys::fcntl(ready, F_DUPFD, 10);
  const int safe_null = sys::fcntl(null, F_DUPFD, 10);
  for (int standard = 0; standard < 3; ++standard) sys::dup2(safe_null, standard);
  sys::dup2(safe_ready, kReadyFd);
  if (sys::raw(SYS_close_range, kReadyFd + 1, ~0U, 0) < 0) {
    for (int fd = kReadyFd + 1; fd < 65536; ++fd) sys::close(fd);
  }
  sys::raw(SYS_execve, reinterpret_cast<long>(image.argv[0]),
           reinterpret_cast<long>(image.argv.data()), reinterpret_cast<long>(image.envp.data()));
  sys::raw(SYS_exit_group, 127);
  __builtin_unreachable();
}

Result<void> await_word(int ready) {
  pollfd waited{ready, POLLIN, 0};
  timespec left{5, 0};
  int got;
  do {
    got = sys::ppoll(&waited, 1, &left);
  } while (got < 0 && errno == EINTR);
  std::array<char, 256> text{};
  const auto length = got == 1 ? sys::read(ready, text.data(), text.size()) : -1;
  if (length == 1 && text[0] == '+') return {};
  if (length > 0) {
    return base::fail(ErrorCode::kUnavailable,
                      std::string(text.data(), static_cast<std::size_t>(length)));
  }
  return base::fail(
      got == 0 ? ErrorCode::kTimeout : ErrorCode::kUnavailable,
      got == 0 ? "ringwayd did not get ready within 5 s" : "ringwayd ended before it was ready");
}

}  // namespace

std::string find_daemon() {
  if (const char* set = std::getenv("RINGWAYD"); set != nullptr && *set != '\0') return set;
  const auto here = directory_of(own_file());
  for (const char* place : {"/ringwayd", "/../bin/ringwayd", "/../../bin/ringwayd"}) {
    if (auto path = here + place; executable(path)) return path;
  }
  return {};
}

Result<void> spawn_daemon(const std::string& path, const std::string& directory, bool stay) {
  if (!executable(path)) return base::fail_errno(fmt::format("cannot start ringwayd at {}", path));
  const Image image = make_image(path, directory, stay);
  std::array<int, 2> ends{-1, -1};
  if (sys::pipe2(ends.data(), O_CLOEXEC) != 0) return base::fail_errno("cannot make a pipe");
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const UniqueFd null(sys::openat(AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return base::fail_errno("cannot open /dev/null");
  // No exit signal: the program must not see a child that it did not start.
  const long child = sys::raw(SYS_clone, 0);
  if (child == 0) become(image, writer.get(), null.get());
  if (child < 0) {
    errno = static_cast<int>(-child);
    return base::fail_errno("cannot start ringwayd");
  }
  sys::raw(SYS_wait4, child, 0, __WALL, 0);
  writer.reset();
  return await_word(reader.get());
}

}  // namespace ringway::control
