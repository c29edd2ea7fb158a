#pragma once

#include <cstdint>
#include <string>

namespace plain {

struct EchoOptions {
  std::uint16_t port = 0;
  std::uint16_t ports = 1;  // listens on this many ports, counted up from `port`
  bool spin = false;        // epoll_wait with a timeout of 0 instead of -1
  std::string congestion;
};

/// Single-threaded, level-triggered epoll server that sends back what it receives, until SIGTERM.
/// Prints "ready", and one line of JSON at the end.
void run_echo_server(const EchoOptions& options, const std::string& program);

}  // namespace plain
