#pragma once

#include <poll.h>
#include <signal.h>

#include <cstdint>

#include "netmap/registry.h"

/// What poll() of a netmap descriptor does, and sleeping until there is something.
namespace ringway::netmap {

/// The system's wait for everything else: items, time that is left in nanoseconds (< 0: for ever),
/// mask. A result or -errno.
using WaitOthers = int (*)(pollfd* items, nfds_t count, std::int64_t nanoseconds,
                           const sigset_t* mask);

/// One evaluation with its syncs; the bits that are true.
short evaluate(const Descriptor& d, short events);
/// Might evaluate() find something that the last one did not? Reads a few words.
bool may_be_ready(const Descriptor& d, short events);
/// This thread's bell is rung when the ring gets something.
void arm(Kring& kring);
void arm(const Descriptor& d);
/// Sum of what arrived at the descriptor's rings: two that are equal mean no edge between them.
std::uint64_t signature(const Descriptor& d);

/// poll(2) with netmap descriptors among the items. A result or -errno.
int wait_mixed(pollfd* items, nfds_t count, std::int64_t nanoseconds, const sigset_t* mask,
               WaitOthers others);

}  // namespace ringway::netmap
