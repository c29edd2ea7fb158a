#include "control/daemon/process.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <string_view>

#include "base/sys.h"
#include "base/unique_fd.h"

namespace ringway::control::daemon {

std::optional<std::uint64_t> start_time_of(pid_t pid) {
  const auto path = fmt::format("/proc/{}/stat", pid);
  const base::UniqueFd file(base::sys::openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  std::array<char, 1024> text{};
  const auto length = base::sys::read(file.get(), text.data(), text.size());
  if (length <= 0) return std::nullopt;
  // The name in parentheses may hold anything, also ')': fields are counted from the last one.
  std::string_view rest(text.data(), static_cast<std::size_t>(length));
  const auto name_end = rest.rfind(')');
  if (name_end == std::string_view::npos || name_end + 2 > rest.size()) return std::nullopt;
  rest.remove_prefix(name_end + 2);
  const char state = rest.empty() ? 'X' : rest[0];
  if (state == 'Z' || state == 'X') return std::nullopt;
  constexpr int kFieldsBetween = 22 - 3;  // the state is field 3
  for (int i = 0; i < kFieldsBetween; ++i) {
    const auto space = rest.find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(space + 1);
  }
  std::uint64_t ticks = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), ticks);
  if (error != std::errc{}) return std::nullopt;
  return ticks;
}

bool still_runs(pid_t pid, std::uint64_t start_time) {
  const auto now = start_time_of(pid);
  return now && *now == start_time;
}

}  // namespace ringway::control::daemon
