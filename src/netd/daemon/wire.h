#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "netd/client/proto.h"

namespace ringway::netd {

/// Takes one request and the memfd that may come with it. os_errno EAGAIN: nothing is there; any
/// other error: the session is to be ended.
base::Result<void> receive_request(int socket, Request& request, base::UniqueFd& memfd);

/// False if the program does not read.
bool send_answer(int socket, const Answer& answer, std::span<const base::UniqueFd> fds);

/// Keeps a port from the kernel's own programs, and finds out whether one of them has it.
base::Result<base::UniqueFd> reserve(std::uint8_t protocol, const base::Endpoint& at);

/// A request that cannot be granted, with the errno that the program is to see.
tl::unexpected<base::Error> refuse(int number, std::string what);

/// When a process began, in ticks since boot (proc(5), stat); 0: there is none.
std::uint64_t start_time_of(std::uint32_t pid);

}  // namespace ringway::netd
