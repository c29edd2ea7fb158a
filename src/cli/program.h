#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace ringway::cli {

/// The directory that the running program's file lies in.
std::string own_directory();

/// The shim beside this program: DIR/../lib/ringway/libringway-posix.so in the build tree and after
/// installation.
base::Result<std::string> find_shim();

/// The file that the shell would run for `name`. kNotFound, kPermission.
base::Result<std::string> find_program(std::string_view name);

/// Can the shim be loaded into this program? Follows `#!` lines. The error says in one line why not
/// and what to do: statically linked, set-user-id (the loader ignores LD_PRELOAD), another
/// machine's, no program at all.
base::Result<void> check_loadable(const std::string& path);

}  // namespace ringway::cli
