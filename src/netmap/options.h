#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "netmap/abi_more.h"

namespace ringway::netmap {

/// The option list of one request, copied in.
class OptionList {
 public:
  struct Entry {
    std::uint64_t address;
    std::array<std::uint64_t, 520> words;  ///< header and payload
    std::size_t payload;
    abi::OptionHeader& header() { return *reinterpret_cast<abi::OptionHeader*>(words.data()); }
  };

  /// Walks the program's list. 0 or an errno; after an error nothing was taken.
  int read(std::uint64_t first, std::size_t body_bytes);
  /// Writes statuses back, and the payloads of options that were taken if the request succeeded.
  void write_back(bool succeeded);
  /// nullptr if it was not given.
  template <typename T>
  T* find(abi::Option type) {
    Entry* entry = entry_of(type);
    return entry == nullptr ? nullptr : reinterpret_cast<T*>(entry->words.data());
  }
  Entry* entry_of(std::uint32_t type);
  /// True if nobody took one of the options.
  bool any_left() const;

 private:
  int add(std::uint64_t address, const abi::OptionHeader& header);

  std::vector<Entry> entries_;
  std::size_t total_ = 0;   // as the limit of a request counts
  std::size_t copied_ = 0;  // as the kernel's buffer counts
  bool endless_ = false;
};

}  // namespace ringway::netmap
