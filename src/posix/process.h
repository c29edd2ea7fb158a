#pragma once

/// The ends of a process image: exec and exit.
namespace ringway::posix {

/// Before a call of the exec family. If `file` can be run, the network is left: stack sockets do
/// not go over exec. `search`: as execvp.
void prepare_exec(const char* file, bool search, const char* path);

/// daemon(3) over the shim's fork. 0 or -errno.
int detach(bool keep_directory, bool keep_streams);

[[noreturn]] void end_process(int status);

}  // namespace ringway::posix
