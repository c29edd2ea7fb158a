#include <algorithm>
#include <cerrno>

#include "tcp/lifecycle.h"
#include "tcp/limits.h"
#include "tcp/output.h"
#include "tcp/tcp.h"
#include "tcp/timers.h"
#include "wire/tcp.h"

namespace ringway::tcp {
namespace {

/// RFC 5927, 4.1: an ICMP message must quote something that is in flight.
bool in_flight(const Connection& c, base::SeqNum seq) {
  return c.snd.una <= seq && seq < c.snd.nxt && c.state != State::kClosed;
}

}  // namespace

void Tcp::on_path_mtu(std::uint32_t connection, base::SeqNum seq, std::uint16_t mtu,
                      base::Instant now) {
  Connection& c = conn(connection);
  if (!in_flight(c, seq)) {
    t_.count(Counter::kIcmpIgnored);
    return;
  }
  constexpr std::uint32_t kTcp = wire::TcpHeader::kSize;
  const std::uint32_t options = (c.flags & kTimestamps) != 0 ? 12 : 0;
  const std::uint32_t headers = (c.is_v6 != 0 ? 40U : 20U) + kTcp + options;
  const std::uint32_t mss = std::max<std::uint32_t>(mtu > headers ? mtu - headers : 0, kMinMss);
  if (mss >= c.mss) return;
  c.mss = static_cast<std::uint16_t>(mss);
  if (!may_send_data(c.state)) return;
  // RFC 1191, 6.4: what was too big is sent again at once. It says nothing about congestion, so
  // the window stays; only the picture of what is lost is set up.
  c.recovery = Recovery::kLoss;
  c.recover = c.snd.nxt;
  c.high_rxt = c.snd.una;
  c.lost_edge = c.snd.nxt;
  c.congestion.ssthresh = std::max(c.congestion.cwnd, 2U * c.mss);
  update_prediction(c);
  start_retransmit_timer(t_, connection, now);
  t_.mark_dirty(connection, c);
}

void Tcp::on_icmp_error(std::uint32_t connection, base::SeqNum seq, int error, base::Instant) {
  Connection& c = conn(connection);
  if (!in_flight(c, seq)) {
    t_.count(Counter::kIcmpIgnored);
    return;
  }
  // Once established, the retransmission timer decides (RFC 5461, 4.2).
  if (c.state == State::kSynSent || c.state == State::kSynReceived) {
    terminate(t_, connection, error);
  }
}

void Tcp::path_failed(std::uint32_t path, int error, base::Instant) {
  for (std::uint32_t i = 1; i <= t_.s->connections.high_water(); ++i) {
    const Connection& c = conn(i);
    if ((c.flags & kInFlowTable) == 0 || c.path != path || c.state == State::kClosed) continue;
    t_.count(Counter::kDropPathDown);
    // Who has sent its FIN is allowed to be gone.
    terminate(t_, i, (c.flags & kFinReceived) != 0 ? 0 : error);
  }
}

}  // namespace ringway::tcp
