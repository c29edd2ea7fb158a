#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ringway::base {

/// Single-writer counters named by an enum whose last value is kCount.
/// Plain 64-bit words in an arena; readers outside may see a value that is one turn old.
template <typename Name>
struct Counters {
  static constexpr std::size_t kSize = static_cast<std::size_t>(Name::kCount);
  std::array<std::uint64_t, kSize> values{};

  void add(Name name, std::uint64_t n = 1) { values[static_cast<std::size_t>(name)] += n; }
  std::uint64_t get(Name name) const { return values[static_cast<std::size_t>(name)]; }
};

}  // namespace ringway::base
