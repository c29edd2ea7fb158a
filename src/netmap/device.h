#pragma once

#include <poll.h>

#include <cstdint>
#include <vector>

#include "netmap/registry.h"

/// Interfaces of the kernel as netmap ports: packet sockets that send from and receive into the
/// rings' buffers. Sockets are per process and made when a ring is first used.
namespace ringway::netmap {

/// Opens the interface; 0 or an errno (EPERM: CAP_NET_RAW is needed). With the registry's lock.
int open_interface(std::uint32_t port);
/// What a sleeper has to watch besides its bell.
void watch_interface(const Descriptor& d, short events, std::vector<pollfd>* items);
/// True for the sockets.
bool owns_interface_fd(int fd);

}  // namespace ringway::netmap
