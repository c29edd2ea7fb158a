#pragma once

#include "base/result.h"

namespace ringway::reaper {

/// From here on the process can only use what it has open: read, write, wait, end. Anything else
/// kills it. The arena's content may be another program's doing.
base::Result<void> enter_sandbox();

}  // namespace ringway::reaper
