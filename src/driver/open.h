#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "mem/frame_pool.h"
#include "port/port.h"

namespace ringway::driver {

/// Opens the port that `spec` describes ("tap:rw0,ip=10.0.0.2/24") with frames of `pool`, which
/// must outlive it. Knows the drivers that may live in any program; replays are opened by
/// open_replay(), loops by open_loop().
base::Result<std::unique_ptr<port::Port>> open_port(std::string_view spec, mem::FramePool& pool);

}  // namespace ringway::driver
