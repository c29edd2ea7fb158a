#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ringway::control::proto {

inline constexpr const char* kSocketName = "control.sock";
inline constexpr const char* kDaemonLockName = "ringwayd.lock";
inline constexpr const char* kSpawnLockName = "spawn.lock";
inline constexpr const char* kLogName = "ringwayd.log";
inline constexpr std::string_view kTableSuffix = ".table";

/// The user's directory for socket, locks, tables and log: `given`, else $RINGWAY_DIR, else
/// $XDG_RUNTIME_DIR/ringway, else /tmp/ringway-UID.
std::string runtime_directory(std::string_view given = {});

/// Opens the directory, made with mode 0700 if it is not there (its parent must be).
/// Errors: kPermission if it is a symbolic link, another user's, or open to others.
base::Result<base::UniqueFd> open_runtime_directory(const std::string& path);

/// A path to `name` within an open directory that no rename can bend, short enough for sockaddr_un.
std::string path_within(int directory, std::string_view name);

/// Names of networks: 1 to 31 of a-z A-Z 0-9 . _ -, not starting with a dot or dash.
bool valid_network_name(std::string_view name);
/// Names of hosts: likewise, up to 63.
bool valid_host_name(std::string_view name);

}  // namespace ringway::control::proto
