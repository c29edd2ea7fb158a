#pragma once

#include <string>

#include "posix/context.h"
#include "posix/environment.h"
#include "posix/image.h"

/// The ends of a process image: exec and exit.
namespace ringway::posix {

/// Another program takes this one's place: sockets that are not close-on-exec go over, all others
/// are given up. `path`: the program's file; `execute` gets the environment, and only returns when
/// it has failed.
template <typename F>
int replace_process(const char* path, char* const* environment, F execute) {
  const Departure departure(path);
  ImageEnvironment complete(environment, departure.fd());
  return execute(complete.get());
}

/// The file that execvp(3) would run; `file` itself if there is none.
std::string find_on_path(const char* file);

/// Before the process gives up its user or its root directory: a later visit to the daemon would be
/// refused, so the process gets its own stack now.
void before_identity_change();

/// daemon(3) over the shim's fork. 0 or -errno.
int detach(bool keep_directory, bool keep_streams);

[[noreturn]] void end_process(int status);

}  // namespace ringway::posix
