#include <array>

#include "tcp/connection.h"
#include "tcp/counters.h"

namespace ringway::tcp {

const char* name(State state) {
  // As ss and netstat write them.
  static constexpr std::array<const char*, 10> kNames = {
      "CLOSED",     "SYN-SENT",   "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1",
      "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING",      "LAST-ACK",    "TIME-WAIT"};
  const auto i = static_cast<std::size_t>(state);
  return i < kNames.size() ? kNames[i] : "?";
}

const char* name(Counter counter) {
  static constexpr std::array<const char*, Counters::kSize> kNames = {"tcp.segments_in",
                                                                      "tcp.fast_in",
                                                                      "tcp.segments_out",
                                                                      "tcp.bytes_in",
                                                                      "tcp.bytes_out",
                                                                      "tcp.connects",
                                                                      "tcp.accepts",
                                                                      "tcp.resets_in",
                                                                      "tcp.resets_out",
                                                                      "tcp.retransmits",
                                                                      "tcp.timeouts",
                                                                      "tcp.fast_recoveries",
                                                                      "tcp.out_of_order",
                                                                      "tcp.duplicates",
                                                                      "tcp.challenge_acks",
                                                                      "tcp.keepalive_probes",
                                                                      "tcp.window_probes",
                                                                      "tcp.drop.bad_header",
                                                                      "tcp.drop.no_connection",
                                                                      "tcp.drop.backlog",
                                                                      "tcp.drop.no_memory",
                                                                      "tcp.drop.sequence",
                                                                      "tcp.drop.paws",
                                                                      "tcp.drop.bad_ack",
                                                                      "tcp.drop.bad_flags",
                                                                      "tcp.drop.after_close",
                                                                      "tcp.drop.path_down",
                                                                      "tcp.drop.challenge_limit",
                                                                      "tcp.drop.out_of_order",
                                                                      "tcp.icmp_ignored"};
  static_assert(kNames.back() != nullptr);
  const auto i = static_cast<std::size_t>(counter);
  return i < kNames.size() ? kNames[i] : "?";
}

}  // namespace ringway::tcp
