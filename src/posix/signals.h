#pragma once

#include <signal.h>

namespace ringway::posix {

/// sigaction(2), with the program's handler behind one of the shim's: a handler never runs while
/// its thread is inside a stack (it could call into it again), but on leaving. 0 or -errno.
int change_signal(int number, const struct sigaction* now, struct sigaction* before);

/// Runs what was put off; called by the runtime on leaving a stack.
void run_deferred_signals();

/// To be called before a wait; afterwards interrupted() tells whether a handler without SA_RESTART
/// ran in this thread since then.
void watch_signals();
bool interrupted();

}  // namespace ringway::posix
