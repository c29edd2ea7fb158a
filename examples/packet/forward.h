#pragma once

#include <ringway/packet.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

/// What the packet examples share: opening ports, moving one frame, and the end by a signal.

using ringway::packet::Port;
using ringway::packet::Ring;
using ringway::packet::Slot;

inline volatile std::sig_atomic_t stopped = 0;

inline void stop_by_signal() {
  struct sigaction action {};
  action.sa_handler = [](int) { stopped = 1; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

inline std::unique_ptr<Port> open_or_tell(const char* name, const Port* share = nullptr) {
  std::string error;
  auto port = Port::open(name, share, &error);
  if (port == nullptr) std::fprintf(stderr, "%s\n", error.c_str());
  return port;
}

/// How many of the `count` slots of `in` belong to the packet that begins at slot i.
inline std::uint32_t pieces_of(const Ring& in, std::uint32_t i, std::uint32_t count) {
  std::uint32_t pieces = 1;
  while (i + pieces < count && (in[i + pieces - 1].flags & ringway::packet::kMore) != 0) ++pieces;
  return pieces;
}

/// Moves a frame's buffer on: swapped in one memory, copied otherwise. Precondition: `to` has room.
inline void move_frame(Ring& from, Slot& in, Ring& to, bool swap_buffers) {
  Slot& out = to[0];
  if (swap_buffers) {
    ringway::packet::swap(in, out);
  } else {
    const auto frame = from.frame(in);
    const std::size_t bytes = std::min<std::size_t>(frame.size(), to.buffer_bytes());
    std::memcpy(to.data(out), frame.data(), bytes);
    out.length = static_cast<std::uint16_t>(bytes);
  }
  const unsigned more = in.flags & unsigned{ringway::packet::kMore};
  out.flags = static_cast<std::uint16_t>((out.flags & ~unsigned{ringway::packet::kMore}) | more);
  to.advance(1);
}
