#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace plain {

struct Target {
  std::string host;
  std::uint16_t port = 0;
};

/// "HOST:PORT" with an IPv4 address.
Target parse_target(const std::string& text);

/// TCP listener on all addresses. `congestion` may be empty; accepted connections inherit it.
int listen_tcp(std::uint16_t port, const std::string& congestion);

/// Blocking connect with TCP_NODELAY set.
int connect_tcp(const Target& target, const std::string& congestion);

/// Non-blocking socket whose connect has begun; `done` tells if it is already established.
int begin_connect_tcp(const Target& target, const std::string& congestion, bool& done);

int bind_udp(std::uint16_t port);
int connect_udp(const Target& target);

void set_no_delay(int fd);
void set_nonblocking(int fd);

/// EAGAIN or EINTR: try again.
bool would_block();

/// Sends all of it; on a non-blocking socket it spins. Dies on errors.
void send_all(int fd, const void* data, std::size_t size);

/// Receives exactly `size` bytes, spinning on a non-blocking socket. False at the end of the
/// stream, when stopping(), or on a reset. Dies if nothing comes for 10 s.
bool receive_all(int fd, void* data, std::size_t size);

}  // namespace plain
