#pragma once

#include <cstdint>

#include "base/seqnum.h"
#include "mem/byte_queue.h"
#include "port/path.h"
#include "port/tx_batch.h"
#include "tcp/state.h"

namespace ringway::tcp {

/// Where paths and ports are in this process: arrays that the stack keeps.
struct PathSource {
  port::Path* paths = nullptr;         ///< by path index
  port::TxBatch* const* tx = nullptr;  ///< by Path::port; an entry may be nullptr

  port::Path& path(std::uint32_t index) const { return paths[index]; }
  port::TxBatch* batch(const port::Path& path) const { return tx[path.port]; }
};

/// What every part of the protocol machine works with.
struct Context {
  TcpState* s = nullptr;
  mem::Buffers b;
  PathSource paths;

  Connection& conn(std::uint32_t index) const { return s->connections[index]; }
  port::Path& path(const Connection& c) const { return paths.path(c.path); }
  void count(Counter counter, std::uint64_t n = 1) const { s->counters.add(counter, n); }

  /// Has output() look at the connection this turn. A blocked one is looked at anyway.
  void mark_dirty(std::uint32_t index, Connection& c) const {
    if ((c.flags & (kInDirtyList | kInBlockedList)) != 0) return;
    c.flags |= kInDirtyList;
    c.dirty_next = 0;
    if (s->dirty.tail != 0) {
      conn(s->dirty.tail).dirty_next = index;
    } else {
      s->dirty.head = index;
    }
    s->dirty.tail = index;
  }
  /// Sets output flags.
  void due(std::uint32_t index, Connection& c, std::uint32_t flags) const {
    c.flags |= flags;
    mark_dirty(index, c);
  }
  /// Tells the front end that readiness `bits` became true.
  void raise(std::uint32_t index, Connection& c, std::uint32_t bits) const {
    c.events |= bits;
    if ((c.flags & kInEventList) != 0) return;
    c.flags |= kInEventList;
    c.event_next = 0;
    if (s->events.tail != 0) {
      conn(s->events.tail).event_next = index;
    } else {
      s->events.head = index;
    }
    s->events.tail = index;
  }
  void raise_listener(std::uint32_t index, std::uint32_t bits) const;
};

}  // namespace ringway::tcp
