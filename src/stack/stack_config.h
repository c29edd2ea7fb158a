#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/address.h"
#include "steering/stack_id.h"

namespace ringway::stack {

/// What a new stack is told about itself.
struct StackConfig {
  steering::StackId id;
  base::IpAddress address_v4;
  base::IpAddress address_v6;
  base::MacAddress mac;
  std::string_view program;
  std::uint64_t seed = 1;                     ///< for what need not be secret
  std::array<std::uint64_t, 2> secret{1, 2};  ///< for initial sequence numbers
};

}  // namespace ringway::stack
