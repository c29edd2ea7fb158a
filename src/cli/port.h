#pragma once

#include <string_view>

#include "base/result.h"

namespace ringway::cli {

/// What has to be there before a program may have the external port `spec`: a well-formed spec, and
/// for a device that is shared with the kernel ringway-netd, which root starts on demand.
base::Result<void> prepare_port(std::string_view spec);

}  // namespace ringway::cli
