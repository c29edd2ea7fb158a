#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace ringway::runtime {

/// A stack as another program image, or another process, can take it up: what it needs of this
/// process's descriptors, and as which holder. Plain data; owns nothing.
struct StackHandover {
  static constexpr std::size_t kBells = 32;
  static constexpr std::size_t kFds = 7 + kBells;
  enum Fd : std::size_t {
    kArena,
    kMailbox,
    kDoorbell,
    kLifeRead,
    kLifeWrite,
    kPostRead,
    kPostWrite,
    kFirstBell
  };

  std::uint32_t number = 0;  ///< SocketId::arena in the process that hands over
  std::uint32_t holder = 0;
  std::uint64_t inode = 0;             ///< of the arena: tells stacks apart
  std::array<std::int32_t, kFds> fds;  ///< -1: none
};

}  // namespace ringway::runtime
