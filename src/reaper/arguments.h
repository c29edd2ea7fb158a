#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace ringway::reaper {

/// One link of the stack that died, as ringwayd passes it. The descriptors are open.
struct LinkArgument {
  std::uint32_t number = 0;
  std::uint32_t side = 0;
  int memory = -1;
  int mailbox = -1;
  int doorbell = -1;
  int life = -1;
};

/// What ringwayd starts a reaper with (control/daemon/stacks.cpp).
struct Arguments {
  int arena = -1;
  int mailbox = -1;
  int doorbell = -1;
  std::vector<LinkArgument> links;
};

/// Reads `--stack ID --table FD --arena FD --mailbox FD --doorbell FD
/// {--link NUMBER,SIDE,MEMORY,MAILBOX,DOORBELL,LIFE}`, without the program's name.
base::Result<Arguments> parse_arguments(std::span<const char* const> arguments);

}  // namespace ringway::reaper
