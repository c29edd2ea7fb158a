#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "netd/client/proto.h"

namespace ringway::netd {

/// Takes one request and the memfd that may come with it. os_errno EAGAIN: nothing is there; any
/// other error: the session is to be ended.
base::Result<void> receive_request(int socket, Request& request, base::UniqueFd& memfd);

/// False if the program does not read.
bool send_answer(int socket, const Answer& answer, std::span<const base::UniqueFd> fds);

/// When a process began, in ticks since boot (proc(5), stat); 0: there is none.
std::uint64_t start_time_of(std::uint32_t pid);

}  // namespace ringway::netd
