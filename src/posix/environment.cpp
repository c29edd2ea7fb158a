#include "posix/environment.h"

#include <dlfcn.h>
#include <elf.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "base/sys.h"
#include "base/unique_fd.h"

namespace ringway::posix {
namespace {

namespace sys = base::sys;

constexpr std::string_view kPreload = "LD_PRELOAD=";
constexpr std::string_view kOurs = "RINGWAY";  // RINGWAY_*, and RINGWAYD: where the daemon is

/// What the program was started with.
struct Origin {
  std::string shim;                    ///< this library's file
  std::string preload;                 ///< the value of LD_PRELOAD; empty: not how it was loaded
  std::vector<std::string> variables;  ///< RINGWAY..., whole
};

Origin& origin() {
  static Origin* const origin = new Origin;  // used until the very end of a process
  return *origin;
}

std::string_view name_of(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

bool is_handover(std::string_view variable) {
  return name_of(variable) == ImageEnvironment::kHandover;
}

}  // namespace

void remember_environment() {
  Origin& it = origin();
  Dl_info self{};
  if (dladdr(reinterpret_cast<void*>(&remember_environment), &self) != 0) it.shim = self.dli_fname;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    if (text.starts_with(kPreload) && text.find(it.shim) != std::string_view::npos) {
      it.preload = text.substr(kPreload.size());
    } else if (text.starts_with(kOurs) && !is_handover(text)) {
      it.variables.emplace_back(text);
    }
  }
}

ImageEnvironment::ImageEnvironment(char* const* given, int handover) {
  Origin& it = origin();
  for (; given != nullptr && *given != nullptr; ++given) {
    if (!is_handover(*given)) variables_.push_back(*given);
  }
  if (!it.preload.empty()) {
    const auto preload = std::find_if(variables_.begin(), variables_.end(), [](const char* v) {
      return std::string_view(v).starts_with(kPreload);
    });
    const bool is_set = preload != variables_.end();
    if (!is_set || std::string_view(*preload).find(it.shim) == std::string_view::npos) {
      preload_.append(kPreload).append(it.preload);
      if (is_set) preload_.append(":").append(*preload + kPreload.size());
      if (is_set) variables_.erase(preload);
      variables_.push_back(preload_.data());
    }
    for (std::string& ours : it.variables) {
      const auto same = [&](const char* v) { return name_of(v) == name_of(ours); };
      if (std::none_of(variables_.begin(), variables_.end(), same)) {
        variables_.push_back(ours.data());
      }
    }
  }
  if (handover >= 0) {
    handover_ = std::string(kHandover) + "=" + std::to_string(handover);
    variables_.push_back(handover_.data());
  }
  variables_.push_back(nullptr);
}

namespace {

constexpr int kMostInterpreters = 4;  // as the kernel's BINPRM_MAX_RECURSION

bool raises_privileges(const base::UniqueFd& fd) {
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return false;
  if ((status.st_mode & S_ISUID) != 0 && status.st_uid != getuid()) return true;
  if ((status.st_mode & S_ISGID) != 0 && status.st_gid != getgid()) return true;
  return getuid() != 0 && fgetxattr(fd.get(), "security.capability", nullptr, 0) > 0;
}

using Head = std::array<char, 4096>;

bool is_dynamic(const base::UniqueFd& fd, const Head& head, std::size_t length) {
  Elf64_Ehdr header{};
  if (length < sizeof header) return false;
  std::memcpy(&header, head.data(), sizeof header);
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64) return false;
  for (std::size_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment{};
    const std::size_t at = header.e_phoff + i * sizeof segment;
    if (pread(fd.get(), &segment, sizeof segment, static_cast<off_t>(at)) != sizeof segment) break;
    if (segment.p_type == PT_INTERP) return true;
  }
  return false;
}

bool loads_at(const char* path, int depth) {
  const base::UniqueFd fd(sys::openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC));
  if (!fd) return true;  // a program that may be run but not read: most are dynamic
  if (raises_privileges(fd)) return false;
  Head head{};
  const ssize_t got = pread(fd.get(), head.data(), head.size() - 1, 0);
  const std::string_view text(head.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  if (text.starts_with(ELFMAG)) return is_dynamic(fd, head, text.size());
  if (!text.starts_with("#!") || depth == kMostInterpreters) return true;  // a shell will run it
  const std::size_t begin = text.find_first_not_of(" \t", 2);
  if (begin == std::string_view::npos) return true;
  const std::size_t end = std::min(text.find_first_of(" \t\n", begin), text.size());
  return loads_at(std::string(text.substr(begin, end - begin)).c_str(), depth + 1);
}

}  // namespace

bool loads_shim(const char* path) { return !origin().preload.empty() && loads_at(path, 0); }

}  // namespace ringway::posix
