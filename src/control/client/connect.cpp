#include "control/client/connect.h"

#include <fmt/format.h>
#include <sys/file.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "base/sys.h"
#include "control/proto/runtime_dir.h"

namespace ringway::control {

using base::ErrorCode;
using base::Result;
using base::UniqueFd;

namespace {

Result<UniqueFd> try_connect(int directory) {
  UniqueFd socket(base::sys::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return base::fail_errno("cannot make the control socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const auto path = proto::path_within(directory, proto::kSocketName);
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (base::sys::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) !=
      0) {
    return base::fail_errno("cannot connect to ringwayd");
  }
  ucred peer{};
  socklen_t length = sizeof peer;
  if (base::sys::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    return base::fail_errno("cannot ask who ringwayd is");
  }
  if (peer.uid != ::geteuid()) {
    return base::fail(ErrorCode::kPermission,
                      fmt::format("the ringwayd there runs as user {}: set RINGWAY_DIR to a "
                                  "directory of yours",
                                  peer.uid));
  }
  return socket;
}

// EAGAIN: its queue of connections is full, so it runs.
bool nobody_there(const base::Error& error) {
  return error.os_errno == ENOENT || error.os_errno == ECONNREFUSED;
}

Result<void> spawn_under_lock(int directory, const ConnectOptions& options,
                              const std::string& path) {
  UniqueFd lock(base::sys::openat(directory, proto::kSpawnLockName,
                                  O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock) return base::fail_errno("cannot open the lock for starting ringwayd");
  while (base::sys::flock(lock.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return base::fail_errno("cannot lock for starting ringwayd");
  }
  // Another program may have started it while this one waited for the lock.
  if (auto there = try_connect(directory); there || !nobody_there(there.error())) return {};
  const auto daemon = options.daemon_path.empty() ? find_daemon() : options.daemon_path;
  if (daemon.empty()) {
    return base::fail(ErrorCode::kNotFound,
                      "ringwayd is not running and was not found: set RINGWAYD to its path");
  }
  return spawn_daemon(daemon, path, options.stay);
}

}  // namespace

Result<UniqueFd> connect_daemon(const ConnectOptions& options) {
  const auto path = proto::runtime_directory(options.directory);
  auto directory = proto::open_runtime_directory(path);
  if (!directory) return directory;
  // A daemon may be ending just now: its socket refuses, or it still holds its lock while the next
  // one starts.
  constexpr int kTries = 5;
  Result<UniqueFd> socket = base::fail(ErrorCode::kUnavailable, "ringwayd is not running");
  for (int i = 0; i < kTries; ++i) {
    socket = try_connect(directory->get());
    if (socket) return socket;
    if (socket.error().os_errno == EAGAIN) {
      ::timespec pause{0, 10'000'000};
      base::sys::ppoll(nullptr, 0, &pause);
      continue;
    }
    if (!nobody_there(socket.error())) return socket;
    if (!options.spawn) {
      return base::fail(ErrorCode::kUnavailable,
                        "ringwayd is not running: start it with `ringway up`");
    }
    if (auto spawned = spawn_under_lock(directory->get(), options, path); !spawned) {
      return tl::unexpected(std::move(spawned).error());
    }
  }
  return socket;
}

}  // namespace ringway::control
