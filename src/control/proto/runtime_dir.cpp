#include "control/proto/runtime_dir.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/sys.h"
#include "steering/layout.h"

namespace ringway::control::proto {

using base::ErrorCode;
using base::Result;
using base::UniqueFd;

std::string runtime_directory(std::string_view given) {
  if (!given.empty()) return std::string(given);
  const auto set = [](const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0' ? value : nullptr;
  };
  if (const char* own = set("RINGWAY_DIR")) return own;
  if (const char* xdg = set("XDG_RUNTIME_DIR")) return std::string(xdg) + "/ringway";
  return fmt::format("/tmp/ringway-{}", ::geteuid());
}

Result<UniqueFd> open_runtime_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return base::fail_errno(fmt::format("cannot make the runtime directory {}", path));
  }
  UniqueFd directory(
      base::sys::openat(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) {
    if (errno == ELOOP || errno == ENOTDIR) {
      return base::fail(
          ErrorCode::kPermission,
          fmt::format("{} is not a plain directory: remove it or set RINGWAY_DIR", path));
    }
    return base::fail_errno(fmt::format("cannot open the runtime directory {}", path));
  }
  struct stat status {};
  if (base::sys::fstat(directory.get(), &status) != 0) {
    return base::fail_errno(fmt::format("cannot look at {}", path));
  }
  if (status.st_uid != ::geteuid()) {
    return base::fail(ErrorCode::kPermission,
                      fmt::format("{} belongs to user {}: set RINGWAY_DIR to a directory of yours",
                                  path, status.st_uid));
  }
  if ((status.st_mode & 0077) != 0) {
    return base::fail(ErrorCode::kPermission,
                      fmt::format("{} is open to others: run `chmod 700 {}`", path, path));
  }
  return directory;
}

std::string path_within(int directory, std::string_view name) {
  return fmt::format("/proc/self/fd/{}/{}", directory, name);
}

namespace {
bool valid_name(std::string_view name, std::size_t most) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= most && name[0] != '.' && name[0] != '-' &&
         std::all_of(name.begin(), name.end(), allowed);
}
}  // namespace

bool valid_network_name(std::string_view name) {
  return valid_name(name, steering::kMaxNetworkName);
}
bool valid_host_name(std::string_view name) { return valid_name(name, steering::kMaxHostName); }

}  // namespace ringway::control::proto
