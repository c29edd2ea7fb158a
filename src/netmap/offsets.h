#pragma once

#include "netmap/abi_more.h"
#include "netmap/registry.h"

namespace ringway::netmap {

/// Packets of the descriptor's rings begin within their buffers at what the slot's ptr says. 0 or
/// an errno, also in the option's status. With the registry's lock.
int set_offsets(const Descriptor& d, abi::OptOffsets* option);

}  // namespace ringway::netmap
