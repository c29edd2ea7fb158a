#include "reaper/arguments.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <string_view>

namespace ringway::reaper {

using base::ErrorCode;
using base::Result;

namespace {

tl::unexpected<base::Error> misunderstood(std::string_view text) {
  return base::fail(ErrorCode::kInvalidArgument,
                    fmt::format("'{}' is not understood here: ringwayd starts reapers", text));
}

template <std::size_t N>
bool read_numbers(std::string_view text, std::array<int, N>& out) {
  for (std::size_t i = 0; i < N; ++i) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out[i]);
    if (error != std::errc{} || out[i] < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (i + 1 == N) return text.empty();
    if (text.empty() || text.front() != ',') return false;
    text.remove_prefix(1);
  }
  return false;
}

}  // namespace

Result<Arguments> parse_arguments(std::span<const char* const> arguments) {
  Arguments out;
  for (std::size_t i = 0; i < arguments.size(); i += 2) {
    const std::string_view name = arguments[i];
    if (i + 1 == arguments.size()) return misunderstood(name);
    const std::string_view value = arguments[i + 1];
    std::array<int, 6> link{};
    std::array<int, 1> fd{};
    if (name == "--link" && read_numbers(value, link)) {
      out.links.push_back({static_cast<std::uint32_t>(link[0]), static_cast<std::uint32_t>(link[1]),
                           link[2], link[3], link[4], link[5]});
      continue;
    }
    if (name == "--stack") continue;  // for who looks at the list of processes
    if (name == "--link" || !read_numbers(value, fd)) return misunderstood(value);
    if (name == "--arena") out.arena = fd[0];
    if (name == "--mailbox") out.mailbox = fd[0];
    if (name == "--doorbell") out.doorbell = fd[0];
  }
  if (out.arena < 0 || out.mailbox < 0 || out.doorbell < 0) return misunderstood("nothing");
  return out;
}

}  // namespace ringway::reaper
