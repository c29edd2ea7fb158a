#pragma once

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "base/result.h"
#include "steering/table_writer.h"

// Shared by the two halves of TableWriter; not for others.
namespace ringway::steering {

/// The place of an entry: itself and the one before it in its chain.
struct TableWriter::Place {
  std::uint32_t at = kMaxEntries;
  std::uint32_t before = kMaxEntries;  // kMaxEntries: the head
  bool found() const { return at < kMaxEntries; }
};

/// Holds `sequence` odd while it lives. Never nested.
class TableWriter::Change {
 public:
  explicit Change(TableLayout* layout) : sequence_(layout->header.sequence) {
    sequence_.store(sequence_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  ~Change() {
    sequence_.store(sequence_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

 private:
  std::atomic<std::uint64_t>& sequence_;
};

inline tl::unexpected<base::Error> refuse(int os_errno, std::string what) {
  using base::ErrorCode;
  const auto code = os_errno == ENOSPC || os_errno == EADDRNOTAVAIL ? ErrorCode::kExhausted
                    : os_errno == ENOENT                            ? ErrorCode::kNotFound
                    : os_errno == EINVAL                            ? ErrorCode::kInvalidArgument
                                                                    : ErrorCode::kExists;
  return tl::unexpected<base::Error>(base::Error{code, os_errno, std::move(what)});
}

inline std::uint32_t bounded(const std::atomic<std::uint32_t>& word, std::uint32_t most) {
  return std::min(word.load(std::memory_order_relaxed), most);
}

}  // namespace ringway::steering
