#pragma once

#include <sys/types.h>

#include <string>

namespace ringway::bench {

/// A small child that cleans up behind this program if it dies without a chance to do so itself
/// (SIGKILL): it holds the reading end of a pipe on which it is told what is to be undone, and acts
/// when the pipe closes. Process-wide. Without start_sweeper() the other calls do nothing.
void start_sweeper();

/// A process group to be killed; forget it before its leader is reaped.
void sweep_group(pid_t group);
void forget_group(pid_t group);

/// A folder to be removed with all that is in it.
void sweep_folder(const std::string& path);
void forget_folder(const std::string& path);

/// A file to be written back, such as a sysctl.
void sweep_file(const std::string& path, const std::string& content);
void forget_file(const std::string& path);

}  // namespace ringway::bench
