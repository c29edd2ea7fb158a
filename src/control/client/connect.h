#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace ringway::control {

struct ConnectOptions {
  std::string directory;    // empty: proto::runtime_directory()
  std::string daemon_path;  // empty: find_daemon()
  bool spawn = true;        // start a daemon if none runs
  bool stay = false;        // start it with --stay
};

/// A connected, non-blocking SEQPACKET socket to the user's ringwayd, started under a lock if none
/// runs. Errors: kUnavailable if none runs and none was to be started, kPermission for a foreign
/// directory or daemon.
base::Result<base::UniqueFd> connect_daemon(const ConnectOptions& options);

/// $RINGWAYD, else `ringwayd` beside this program or library, else ../bin and ../../bin of it;
/// empty if nowhere.
std::string find_daemon();

/// Starts `path` with `arguments` detached from this process (own session, no inherited descriptors
/// but one for the word that it is ready, LD_PRELOAD removed) and waits up to 5 s for that word.
/// Raises no SIGCHLD.
base::Result<void> spawn_daemon(const std::string& path, const std::string& directory, bool stay);

}  // namespace ringway::control
