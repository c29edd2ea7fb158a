#pragma once

#include <cstdint>

#include "tcp/context.h"
#include "wire/tcp.h"

namespace ringway::tcp {

/// What the peer has told to hold beyond snd.una (RFC 6675, 3): ranges in order, in one cell that
/// is taken when the first block arrives. When it is full, further ranges are forgotten, which
/// costs a retransmission and nothing else.
struct SackRange {
  base::SeqNum left;
  base::SeqNum right;
};

/// Adds the blocks of a segment; returns how many octets were not known before.
std::uint32_t scoreboard_update(const Context& t, Connection& c, const wire::TcpOptions& options);
/// Forgets what lies below snd.una.
void scoreboard_advance(const Context& t, Connection& c);
void scoreboard_clear(const Context& t, Connection& c);
/// Octets SACKed.
std::uint32_t scoreboard_bytes(const Context& t, const Connection& c);
/// True if the peer has dropped what it had SACKed: its first range begins at snd.una.
bool scoreboard_reneged(const Context& t, const Connection& c);
/// The end of what is lost by the rule of RFC 6675, 4, IsLost(): three segments' worth of octets,
/// or three ranges, are SACKed above it. snd.una if nothing is.
base::SeqNum scoreboard_lost_edge(const Context& t, const Connection& c);

/// The next octets at or after `from` that are not SACKed.
struct Hole {
  base::SeqNum begin;
  base::SeqNum end;
};
Hole next_hole(const Context& t, const Connection& c, base::SeqNum from);

/// Octets that are taken to be in the network (RFC 6675, 4, SetPipe()).
std::uint32_t pipe(const Context& t, const Connection& c);

}  // namespace ringway::tcp
