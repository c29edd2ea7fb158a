#pragma once

#include <span>

#include "base/result.h"
#include "base/time.h"
#include "control/proto/channel.h"

namespace ringway::control {

inline constexpr base::Duration kRequestTimeout = base::Duration::seconds(2);

/// CLOCK_MONOTONIC.
base::Instant monotonic_now();

/// Waits until `fd` is ready for `events` or hangs up. Errors: kTimeout at `deadline`.
base::Result<void> wait_ready(int fd, short events, base::Instant deadline);

/// The error that a Failure carries.
base::Error error_of(const proto::Failure& failure);

/// True if the daemon went away: connecting again may help.
bool hung_up(const base::Error& error);

/// The next message, waited for until `deadline`; a hang-up is an error.
base::Result<proto::Received> receive_next(int socket, base::Instant deadline);

/// Turns a Failure into an error and refuses every other reply than `expected`.
base::Result<proto::Received> expect_reply(proto::Received message, proto::Type expected);

}  // namespace ringway::control
