#include <cerrno>

#include "tcp/lifecycle.h"
#include "tcp/tcp.h"

namespace ringway::tcp {

Opened Tcp::connect(const base::Endpoint& local, const base::Endpoint& remote, std::uint32_t path,
                    std::uint32_t socket, const Options& options, base::Instant now) {
  if ((t_.paths.path(path).flags & port::kPathDown) != 0) return {0, ENETUNREACH};
  // RFC 9293, 3.10.1; a pair in TIME-WAIT may be used again when the peer can tell old from new
  // by timestamps (RFC 6191), which is the peer's to judge: the new SYN goes out.
  if (const std::uint32_t old = find(local, remote); old != 0) {
    if (conn(old).state != State::kTimeWait || (conn(old).flags & kTimestamps) == 0) {
      return {0, EADDRINUSE};
    }
    terminate(t_, old, 0);
  }
  const std::uint32_t index = allocate(t_, local, remote, path, options, now);
  if (index == 0) {
    t_.count(Counter::kDropNoMemory);
    return {0, ENOBUFS};
  }
  Connection& c = conn(index);
  c.state = State::kSynSent;
  c.socket = socket;
  c.snd.nxt = c.iss + 1;
  t_.count(Counter::kConnects);
  t_.due(index, c, kSynDue);
  return {index, 0};
}

}  // namespace ringway::tcp
