#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "base/unique_fd.h"
#include "control/daemon/network.h"
#include "steering/layout.h"

namespace ringway::control::daemon {

/// One connection. Until Hello it has no network and may only make the requests of the ringway
/// command.
struct Session {
  static constexpr std::size_t kMaxStacks = 64;

  SessionId id = 0;
  base::UniqueFd socket;
  std::int32_t pid = 0;  // as the kernel says (SO_PEERCRED)
  std::uint64_t start_time = 0;
  Network* network = nullptr;
  steering::HostIndex host = 0;
  std::string program;
  std::set<std::uint32_t> stacks;  // StackId::raw of those it holds
  bool broken = false;             // to be dropped when the turn ends

  bool holds(StackId stack) const { return stacks.contains(stack.raw()); }
};

}  // namespace ringway::control::daemon
