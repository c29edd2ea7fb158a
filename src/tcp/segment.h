#pragma once

#include <cstddef>
#include <cstdint>

#include "mem/frame_desc.h"

namespace ringway::tcp {

/// A received TCP segment as the demultiplexer hands it over: addresses are already matched, the
/// checksum is verified or needs none.
struct Segment {
  const std::byte* data = nullptr;  ///< the TCP header
  std::uint32_t length = 0;         ///< header and payload, at least 20
  std::uint32_t offset = 0;         ///< of `data` within the frame's slot
  mem::FrameRef frame;     ///< none: the bytes ride in a ring slot and are copied if they are kept
  bool must_copy = false;  ///< the receiver holds much of the peer's Region: copy, do not keep
  bool taken = false;      ///< out: the frame was kept, do not release it
};

/// What user calls that move bytes return.
struct Io {
  std::uint32_t bytes = 0;
  std::int32_t error = 0;  ///< errno; EAGAIN: nothing now
};

/// A new connection or listener, or an errno.
struct Opened {
  std::uint32_t index = 0;  ///< 0: failed
  std::int32_t error = 0;
};

/// News of a connection or listener for the front end.
struct Event {
  std::uint32_t index = 0;   ///< of the connection or listener
  std::uint32_t socket = 0;  ///< as given to connect(), listen() or set_socket()
  std::uint32_t bits = 0;  ///< EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR: what became true
  bool listener = false;
};

}  // namespace ringway::tcp
