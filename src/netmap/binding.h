#pragma once

#include <string_view>

#include "netmap/abi_more.h"
#include "netmap/registry.h"

/// Descriptors and what they are bound to. Functions that return int give 0 or an errno.
namespace ringway::netmap {

/// The options of a register request; nullptr where one was not given.
struct RegisterOptions {
  abi::OptExtmem* extmem = nullptr;
  abi::OptCsb* csb = nullptr;
  abi::OptOffsets* offsets = nullptr;
};

/// A free descriptor, now open; kNone. With the registry's lock.
std::uint32_t new_descriptor();
/// Binds to a port; on success the request holds what was granted. With the lock.
int bind(std::uint32_t descriptor, std::string_view name, abi::Register* request,
         const RegisterOptions& options);
/// Gives a descriptor and all it had back. With the lock.
void release(std::uint32_t descriptor);
void unbind(Descriptor& d);
/// Releases descriptors that nobody holds any more. With the lock.
void release_dead();
/// After close(2) of a number that meant `descriptor`.
void closed(std::uint32_t descriptor);
/// Now and then, from those who wait: what died is cleaned up even if nobody asks for anything.
void tidy_up();

Descriptor& descriptor_at(std::uint32_t index);
/// The ring of a bound descriptor.
Kring& kring_of(const Descriptor& d, bool is_tx, std::uint32_t index);

/// CSB mode of a bound descriptor.
int enable_csb(Descriptor& d, const abi::OptCsb& option);

}  // namespace ringway::netmap
