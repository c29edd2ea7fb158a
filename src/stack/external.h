#pragma once

#include "mem/frame_pool.h"
#include "port/port.h"
#include "port/tx_batch.h"

namespace ringway::stack {

/// A port of another driver than link, as this process has it.
struct External {
  port::Port* port = nullptr;
  mem::FramePool* pool = nullptr;
  int fd = -1;  ///< polls readable when the port has something
  port::TxBatch tx;
};

}  // namespace ringway::stack
