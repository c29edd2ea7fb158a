#pragma once

#include "posix/context.h"

/// The ends of a process image: exec and exit.
namespace ringway::posix {

/// Another program takes this one's place: stack sockets do not go over exec, and this process
/// gives them up for as long as `execute` runs; it only returns when it has failed.
template <typename F>
int replace_process(F execute) {
  runtime::Runtime* joined = network();
  if (joined == nullptr) return execute();
  joined->before_exec();
  const int outcome = execute();
  const KeepErrno keep;
  joined->after_failed_exec();
  return outcome;
}

/// Before the process gives up its user or its root directory: a later visit to the daemon would be
/// refused, so the process gets its own stack now.
void before_identity_change();

/// daemon(3) over the shim's fork. 0 or -errno.
int detach(bool keep_directory, bool keep_streams);

[[noreturn]] void end_process(int status);

}  // namespace ringway::posix
