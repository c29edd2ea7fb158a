#pragma once

#include <cstdint>

#include "tcp/context.h"

namespace ringway::tcp {

/// A fresh connection in the flow table, state CLOSED; 0: none left.
std::uint32_t allocate(const Context& t, const base::Endpoint& local, const base::Endpoint& remote,
                       std::uint32_t path, const Options& options, base::Instant now);
/// The protocol is done with the connection: out of table, wheel and queues; `error` and EPOLLHUP
/// for the user. What was received stays readable. Frees an orphan.
void terminate(const Context& t, std::uint32_t index, int error);
/// Frees the index once nobody refers to it: the user, a listener, or one of the lists.
void free_if_unused(const Context& t, std::uint32_t index);
/// To ESTABLISHED: allows the fast path, tells user or listener.
void establish(const Context& t, std::uint32_t index, base::Instant now);
/// Enters TIME-WAIT, or CLOSED where no old duplicates can exist.
void enter_time_wait(const Context& t, std::uint32_t index, base::Instant now);
/// Our FIN is acknowledged (RFC 9293, 3.10.7.4, fifth).
void fin_acknowledged(const Context& t, std::uint32_t index, base::Instant now);
/// Recomputes Connection::predict: what the fast path accepts.
void update_prediction(Connection& c);
/// Takes over what `options` says and what follows from it.
void apply_options(Connection& c, const Options& options);
/// Payload of a full segment along the path, before options.
std::uint16_t path_mss(const port::Path& path);
/// The MSS that the peer's option (or its absence) and the path allow.
void set_peer_mss(const Context& t, Connection& c, bool has_option, std::uint16_t option);
/// Shift for the window field that can tell the whole buffer.
std::uint8_t window_scale_for(std::uint32_t buffer);

}  // namespace ringway::tcp
