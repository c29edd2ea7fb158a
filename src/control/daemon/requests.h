#pragma once

#include "control/daemon/state.h"
#include "control/proto/channel.h"

namespace ringway::control::daemon {

/// Answers one message of a session: with its reply or with Failure. What is no valid message
/// breaks the session. Everything in it is checked: the stacks that it names must be the sender's.
void serve(State& state, Session& session, proto::Received message);

/// Requests of the ringway command; false if `message` is none.
bool serve_admin(State& state, Session& session, const proto::Received& message);

/// Answers with a Failure that carries the error.
void refuse(State& state, Session& session, std::uint32_t tag, const base::Error& error);

}  // namespace ringway::control::daemon
