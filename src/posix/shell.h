#pragma once

#include <stdio.h>
#include <sys/types.h>

namespace ringway::posix {

/// system(3): libc's own way unless a stack socket goes over to the child.
int run_shell(const char* command);

/// popen(3), likewise.
FILE* open_shell(const char* command, const char* mode);
/// pclose(3).
int close_shell(FILE* stream);

}  // namespace ringway::posix
