#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <span>

namespace ringway::posix {

/// Socket options as a program set them, to be told again to a kernel socket that takes the place
/// of a stack socket. The last value of an option wins; one too long or too many is not remembered.
class OptionLog {
 public:
  struct Entry {
    int level = 0;
    int name = 0;
    socklen_t length = 0;
    std::array<std::byte, 20> value{};  ///< the longest that matter: timeval, ipv6_mreq
  };

  void note(int level, int name, const void* value, socklen_t length) {
    if (length > sizeof(Entry::value)) return;
    auto* end = entries_.data() + used_;
    Entry* entry = std::find_if(entries_.data(), end,
                                [&](const Entry& e) { return e.level == level && e.name == name; });
    if (entry == end) {
      if (used_ == entries_.size()) return;
      ++used_;
    }
    *entry = Entry{level, name, length, {}};
    std::memcpy(entry->value.data(), value, length);
  }
  std::span<const Entry> entries() const { return {entries_.data(), used_}; }
  void clear() { used_ = 0; }

 private:
  std::array<Entry, 16> entries_{};
  std::size_t used_ = 0;
};

}  // namespace ringway::posix
