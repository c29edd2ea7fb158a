#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

namespace ringway::control::daemon {

/// When a process started, in clock ticks since boot (/proc/PID/stat, field 22); empty if it is
/// gone.
std::optional<std::uint64_t> start_time_of(pid_t pid);

/// Is it still the process that started then?
bool still_runs(pid_t pid, std::uint64_t start_time);

}  // namespace ringway::control::daemon
