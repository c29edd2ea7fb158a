#pragma once

#include "base/address.h"
#include "ringway/operation.h"

namespace ringway::channel {

inline base::Endpoint to_internal(const Endpoint& e) { return {{e.address}, e.port}; }
inline Endpoint to_public(const base::Endpoint& e) { return {e.address.bytes, e.port}; }

}  // namespace ringway::channel
