#pragma once

#include <cstdint>

#include "netmap/abi_more.h"

namespace ringway::netmap {

/// An allocator whose memory the program sees at an address of its own: the pages there are
/// replaced by the allocator's. 0 or an errno; on success the caller has one reference, and the
/// option's geometry is filled in. With the registry's lock.
int make_extmem(abi::OptExtmem* option, std::uint32_t* allocator);

/// True if this process may write all of [address, address + bytes).
bool is_writable(std::uint64_t address, std::uint32_t bytes);

}  // namespace ringway::netmap
