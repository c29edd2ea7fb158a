#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace ringway::cli {

/// A TCP connection as seen from outside its program.
struct ConnectionView {
  std::string state;
  base::Endpoint local;
  base::Endpoint remote;
  std::uint32_t receive_queue_bytes = 0;  // in order, not read yet
  std::uint32_t send_queue_bytes = 0;     // not acknowledged or not sent yet
  bool link = false;         // over shared memory: no round-trip time, no congestion window
  std::uint32_t rtt_us = 0;  // smoothed; 0: not measured
  std::uint32_t cwnd_bytes = 0;
  std::uint32_t retransmits = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;
};

struct ListenerView {
  base::Endpoint local;
  std::uint32_t ready = 0;  // established, not accepted yet
  std::uint32_t backlog = 0;
};

struct StackView {
  bool poisoned = false;
  std::vector<ListenerView> listeners;
  std::vector<ConnectionView> connections;
};

/// Reads a running program's arena; takes `fd`, which is open for reading only. The program goes on
/// meanwhile, so each entry is copied until two copies name the same connection; what keeps
/// changing is left out. Payload is never read. Errors: kCorrupt if the program is of another
/// build.
base::Result<StackView> read_stack(int fd);

}  // namespace ringway::cli
