#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/unique_fd.h"
#include "runtime/handover.h"
#include "runtime/local_stack.h"
#include "runtime/runtime.h"

namespace ringway::runtime {

/// Moves an fd to a high number, so that programs find their low ones free. -1 stays -1.
base::UniqueFd high_fd(base::UniqueFd fd);

/// Eventfds for all holders to come; before there is a second one. The stack's lock is held, or
/// nobody else is there.
void make_holder_bells(LocalStack& local);
std::uint64_t inode_of(int fd);
StackHandover describe(const LocalStack& local);

/// A socket on its way to another process, and the end of its passport that tells what became of
/// it.
struct Passed {
  SocketId socket;
  base::UniqueFd end;
};

/// A listener of an inherited stack and its clone in the process's own.
struct Clone {
  SocketId inherited;
  SocketId own;
};

/// An epoll set: one set per arena in which it has members.
struct SetParts {
  static constexpr std::size_t kArenas = 32;
  bool used = false;
  std::array<std::uint32_t, kArenas> set{};  ///< by arena number; 0: none there
};

}  // namespace ringway::runtime
