#pragma once

#include <spawn.h>

#include <string>
#include <vector>

namespace ringway::posix {

/// One step of posix_spawn_file_actions_t, which libc does not let one read back.
struct SpawnAction {
  enum Kind { kDup, kClose, kCloseFrom, kOpen, kDirectory, kForeground };

  Kind kind = kClose;
  int fd = -1;
  int to = -1;
  std::string path = {};  ///< of kOpen and kDirectory; empty: `fd`
  int flags = 0;
  mode_t mode = 0;
};

using SpawnActions = std::vector<SpawnAction>;

void note_action(const posix_spawn_file_actions_t* actions, SpawnAction action);
void forget_actions(const posix_spawn_file_actions_t* actions);

struct SpawnRequest {
  const posix_spawn_file_actions_t* actions;
  const posix_spawnattr_t* attributes;
  char* const* arguments;
  char* const* environment;
};

/// Does a child get a stack socket? Without one, nothing is gained by leaving libc's fast way.
bool hands_sockets_over(const SpawnActions& actions);

/// posix_spawn(3) by the shim's fork, with `actions` in place of the request's. 0 or an errno.
int spawn_over(pid_t* child, const char* path, const SpawnRequest& request,
               const SpawnActions& actions);

/// posix_spawn(3): libc's own way unless a stack socket goes over to the child. 0 or an errno.
int spawn(pid_t* child, const char* path, const SpawnRequest& request);

}  // namespace ringway::posix
