#include "cli/program.h"

#include <elf.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <vector>

namespace ringway::cli {

using base::ErrorCode;
using base::Result;

namespace {

bool is_program(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

// exec raises privileges, and the loader then ignores LD_PRELOAD (ld.so(8), secure-execution mode).
bool raises_privileges(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return false;
  if ((status.st_mode & S_ISUID) != 0 && status.st_uid != ::getuid()) return true;
  if ((status.st_mode & S_ISGID) != 0 && status.st_gid != ::getgid()) return true;
  return ::getuid() != 0 && ::getxattr(path.c_str(), "security.capability", nullptr, 0) > 0;
}

// "#! /usr/bin/env -S python3 -u": the interpreter, or what env is to find.
Result<std::string> interpreter_of(std::string_view line) {
  std::vector<std::string> words;
  for (std::size_t at = 2; at < line.size();) {
    const auto begin = line.find_first_not_of(" \t", at);
    if (begin == std::string_view::npos) break;
    const auto end = std::min(line.find_first_of(" \t", begin), line.size());
    words.emplace_back(line.substr(begin, end - begin));
    at = end;
  }
  if (words.empty()) return base::fail(ErrorCode::kInvalidArgument, "its #! line names no program");
  if (!words[0].ends_with("/env")) return words[0];
  for (std::size_t i = 1; i < words.size(); ++i) {
    const bool program = words[i][0] != '-' && words[i].find('=') == std::string::npos;
    if (program) return find_program(words[i]);
  }
  return words[0];
}

bool has_interpreter(std::ifstream& file, const Elf64_Ehdr& header) {
  constexpr std::uint16_t kMostSegments = 512;
  if (header.e_phentsize != sizeof(Elf64_Phdr)) return false;
  for (std::uint16_t i = 0; i < std::min(header.e_phnum, kMostSegments); ++i) {
    Elf64_Phdr segment{};
    file.seekg(static_cast<std::streamoff>(header.e_phoff + i * sizeof segment));
    if (!file.read(reinterpret_cast<char*>(&segment), sizeof segment)) return false;
    if (segment.p_type == PT_INTERP) return true;
  }
  return false;
}

Result<void> check_elf(const std::string& path, std::ifstream& file) {
  Elf64_Ehdr header{};
  file.clear();
  file.seekg(0);
  if (!file.read(reinterpret_cast<char*>(&header), sizeof header) ||
      std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    return base::fail(ErrorCode::kInvalidArgument, fmt::format("{} is no program file", path));
  }
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64) {
    return base::fail(
        ErrorCode::kInvalidArgument,
        fmt::format("{} is built for another machine; Ringway runs x86-64 programs", path));
  }
  if (!has_interpreter(file, header)) {
    return base::fail(ErrorCode::kInvalidArgument,
                      fmt::format("{} is statically linked, so Ringway cannot be loaded into it: "
                                  "use a dynamically linked build of it",
                                  path));
  }
  return {};
}

Result<void> check_one(const std::string& path, int depth) {
  constexpr int kMostInterpreters = 4;  // as the kernel's BINPRM_MAX_RECURSION
  if (depth > kMostInterpreters) {
    return base::fail(ErrorCode::kInvalidArgument, fmt::format("{}: too many #! lines", path));
  }
  std::ifstream file(path, std::ios::binary);
  std::array<char, 2> mark{};
  if (!file.read(mark.data(), mark.size())) {
    // A program that may be run but not read is left to the kernel to judge.
    return ::access(path.c_str(), R_OK) == 0
               ? base::fail(ErrorCode::kInvalidArgument, fmt::format("{} is no program file", path))
               : Result<void>();
  }
  if (mark[0] == '#' && mark[1] == '!') {
    std::string line;
    std::getline(file, line);
    auto interpreter = interpreter_of("#!" + line);
    if (!interpreter) {
      return base::fail(interpreter.error().code,
                        fmt::format("{}: {}", path, interpreter.error().what));
    }
    return check_one(*interpreter, depth + 1);
  }
  if (raises_privileges(path)) {
    return base::fail(ErrorCode::kPermission,
                      fmt::format("{} changes its user or has capabilities, so the loader ignores "
                                  "Ringway: run it as that user from the start, or run a copy "
                                  "without the bit",
                                  path));
  }
  return check_elf(path, file);
}

}  // namespace

std::string own_directory() {
  std::array<char, 4096> link{};
  const auto length = ::readlink("/proc/self/exe", link.data(), link.size() - 1);
  const std::string path(link.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? std::string(".") : path.substr(0, slash);
}

Result<std::string> find_shim() {
  const auto path = own_directory() + "/../lib/ringway/libringway-posix.so";
  char* resolved = ::realpath(path.c_str(), nullptr);
  if (resolved == nullptr) {
    return base::fail(ErrorCode::kNotFound,
                      fmt::format("{} is missing: build or install all of Ringway", path));
  }
  std::string found(resolved);
  std::free(resolved);
  // The loader splits LD_PRELOAD at these, and no quoting helps.
  if (found.find_first_of(": ") != std::string::npos) {
    return base::fail(
        ErrorCode::kInvalidArgument,
        fmt::format("Ringway cannot work from a path with blanks or colons: {}", found));
  }
  return found;
}

Result<std::string> find_program(std::string_view name) {
  const std::string wanted(name);
  if (wanted.find('/') != std::string::npos) {
    if (is_program(wanted)) return wanted;
    return base::fail(
        ::access(wanted.c_str(), F_OK) == 0 ? ErrorCode::kPermission : ErrorCode::kNotFound,
        fmt::format("{} is not there or may not be run", wanted));
  }
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
  while (!wanted.empty()) {
    const auto colon = rest.find(':');
    const std::string directory(rest.substr(0, colon));
    const auto candidate = (directory.empty() ? "." : directory) + "/" + wanted;
    if (is_program(candidate)) return candidate;
    if (colon == std::string_view::npos) break;
    rest.remove_prefix(colon + 1);
  }
  return base::fail(ErrorCode::kNotFound, fmt::format("'{}' is not found on PATH", wanted));
}

Result<void> check_loadable(const std::string& path) { return check_one(path, 0); }

}  // namespace ringway::cli
