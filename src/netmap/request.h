#pragma once

#include <cstdint>

#include "netmap/abi_more.h"
#include "netmap/registry.h"

/// The ioctls of a netmap descriptor.
namespace ringway::netmap {

/// 0 or -errno. `argument` is the program's and may be anything.
int control_request(std::uint32_t descriptor, std::uint64_t argument);
/// The same for the older interface.
int legacy_request(std::uint32_t descriptor, bool is_register, std::uint64_t argument);

/// The program's memory: false if it cannot be read or written.
bool copy_in(void* to, std::uint64_t from, std::size_t bytes);
bool copy_out(std::uint64_t to, const void* from, std::size_t bytes);

// --- info.cpp: with the registry's lock; 0 or an errno
int port_info(std::string_view name, abi::PortInfo* info);
int pools_info(std::string_view name, abi::PoolsInfo* info);
int set_header(std::string_view name, const abi::PortHdr& header);
int get_header(std::string_view name, abi::PortHdr* header);
/// `name` has room for abi::kNameBytes and is written when it was empty.
int list_ports(char* name, abi::ValeList* list);

// --- kloop.cpp
struct KloopEventfds {
  std::int32_t ioeventfd;
  std::int32_t irqfd;
};
struct KloopOptions {
  std::uint32_t mode = 0;
  const KloopEventfds* eventfds = nullptr;  ///< one per bound ring
};
/// Checks of SYNC_KLOOP_START that come before its options.
int may_start_kloop(const Descriptor& d, const abi::KloopStart& request);
/// Stays in the loop until it is stopped.
int run_kloop(Descriptor& d, const abi::KloopStart& request, const KloopOptions& options);
int stop_kloop(Descriptor& d);

}  // namespace ringway::netmap
