#pragma once

#include <cstdlib>

namespace ringway::fuzz {

/// Ends a fuzz run where a property does not hold, so that the input is kept.
inline void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace ringway::fuzz
