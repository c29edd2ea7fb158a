#pragma once

#include <cstdint>

#include "tcp/context.h"
#include "tcp/reassembly.h"
#include "tcp/segment.h"
#include "wire/tcp.h"

namespace ringway::tcp {

/// A segment as the steps of RFC 9293, 3.10.7 hand it on.
struct Incoming {
  wire::TcpHeader h;
  Payload payload;
  Segment* raw;
  base::Instant now;

  /// SEG.LEN: octets that take up sequence numbers.
  std::uint32_t length() const {
    return payload.length + (h.flags.syn() ? 1U : 0U) + (h.flags.fin() ? 1U : 0U);
  }
};

/// What a step decides.
enum class Step : std::uint8_t {
  kGoOn,   ///< the next step
  kDrop,   ///< done with this segment; the connection may be gone
  kReply,  ///< as kDrop, and an ACK is due
};

/// RFC 9293, 3.10.7.3.
void receive_syn_sent(const Context& t, std::uint32_t index, Incoming& in);
/// RFC 9293, 3.10.7.4: all other states. True: TIME-WAIT gives way to a new SYN.
bool receive_synchronized(const Context& t, std::uint32_t index, Incoming& in);
/// RFC 9293, 3.10.7.4, fifth: ESTABLISHED and later states.
Step receive_ack(const Context& t, std::uint32_t index, Incoming& in);
/// RFC 9293, 3.10.7.4, seventh and eighth: text and FIN.
void receive_text(const Context& t, std::uint32_t index, Incoming& in);
/// An ACK that asks the peer to prove itself (RFC 5961, 7: limited in rate).
void challenge_ack(const Context& t, std::uint32_t index, base::Instant now);
/// A reset for a segment that nobody wants (RFC 9293, 3.10.7.1).
void reset_for(const Context& t, std::uint32_t path, const wire::TcpHeader& h,
               std::uint32_t segment_length);
/// What SYN and SYN-ACK agree on.
void negotiate(const Context& t, Connection& c, const wire::TcpHeader& h);
/// The window that the peer offers with an acceptable ACK.
void update_send_window(const Context& t, std::uint32_t index, const Incoming& in);

}  // namespace ringway::tcp
