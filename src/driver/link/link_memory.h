#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "ring/slot_ring.h"

namespace ringway::driver {

/// Memory shared by two stacks: one sealed, sparse memfd per pair.
///
///   +--------+-------------+-------------+----------------------+----------------------+
///   | header | Direction 0 | Direction 1 | Region of direction 0 | Region of direction 1 |
///   +--------+-------------+-------------+----------------------+----------------------+
///
/// Side 0 made the link: it sends in direction 0 and receives in direction 1; side 1 the other way
/// round. A stack that talks to itself uses direction 0 for both. Owns the mapping, not the fd.
class LinkMemory {
 public:
  LinkMemory() = default;
  ~LinkMemory();
  LinkMemory(LinkMemory&& other) noexcept;
  LinkMemory& operator=(LinkMemory&& other) noexcept;

  static constexpr std::size_t kRegionBytes =
      std::size_t{ring::kSmallFrames} * ring::kSmallSlotBytes +
      std::size_t{ring::kBigFrames} * ring::kBigSlotBytes;

  /// A new link: a sealed memfd, not mapped. The caller owns the fd.
  static base::Result<int> create();
  /// Maps a link; the memfd is checked for its seals, size and layout. Errors: kCorrupt.
  static base::Result<LinkMemory> map(int fd);

  ring::Direction& direction(unsigned index) const;
  std::byte* region(unsigned index) const;
  explicit operator bool() const { return base_ != nullptr; }

 private:
  std::byte* base_ = nullptr;
};

/// The mailbox of a stack: one page of shared memory that its peers mark. Owns the mapping.
class MailboxMemory {
 public:
  MailboxMemory() = default;
  ~MailboxMemory();
  MailboxMemory(MailboxMemory&& other) noexcept;
  MailboxMemory& operator=(MailboxMemory&& other) noexcept;

  static base::Result<int> create();
  static base::Result<MailboxMemory> map(int fd);
  ring::Mailbox* get() const { return box_; }

 private:
  ring::Mailbox* box_ = nullptr;
};

}  // namespace ringway::driver
