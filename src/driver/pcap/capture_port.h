#pragma once

#include <memory>

#include "base/result.h"
#include "driver/pcap/capture_file.h"
#include "mem/frame_pool.h"
#include "port/port.h"

namespace ringway::driver {

/// `inner` with every frame that passes written into `file`, stamped with the time of the last
/// advance(). What is captured reaches the file at the next advance(), so once a turn. The pool is
/// that of `inner`.
std::unique_ptr<port::Port> capture(std::unique_ptr<port::Port> inner, CaptureFile file,
                                    mem::FramePool& pool);

}  // namespace ringway::driver
