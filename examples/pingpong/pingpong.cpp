// The native API in its shortest form: a message goes there and back.

#include "pingpong.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace pingpong {

using ringway::Channel;
using ringway::Completion;
using ringway::Endpoint;
using ringway::Handle;
using ringway::Operation;

void die(const std::string& what, int error) {
  std::fprintf(stderr, "%s: %s\n", what.c_str(), std::strerror(error));
  std::exit(1);
}

Server::Server(Channel& channel, std::uint16_t port, std::size_t size)
    : channel_(channel), message_(size) {
  channel_.listen(Endpoint::any_v4(port), 0);
  Completion listening;
  channel_.wait({&listening, 1});
  if (listening.error != 0) die("cannot listen", listening.error);
  channel_.accept(listening.handle, 0);
}

std::uint64_t Server::serve_one(bool (*stopping)()) {
  // A signal may come before wait() sleeps: look now and then, at no cost to the messages.
  auto look = ringway::Clock::now();
  std::uint64_t messages = 0;
  std::size_t have = 0;
  for (std::array<Completion, 16> done;;) {
    const int n = channel_.wait(done, 1, look);
    if (n <= 0) {
      if (stopping()) return messages;
      look = ringway::Clock::now() + std::chrono::milliseconds(100);
      continue;
    }
    for (const Completion& c : std::span(done).first(static_cast<std::size_t>(n))) {
      if (c.operation == Operation::kAccept) {
        have = 0;
        channel_.read(c.handle, message_.data(), message_.size(), 0);
      } else if (c.operation == Operation::kRead && c.length == 0) {
        channel_.close(c.handle, 0, ringway::kQuiet);
        channel_.submit();
        return messages;
      } else if (c.operation == Operation::kRead) {
        have += c.length;
        if (have == message_.size()) {
          channel_.write(c.handle, message_.data(), have, 0, ringway::kQuiet);
          have = 0;
          ++messages;
        }
        channel_.read(c.handle, message_.data() + have, message_.size() - have, 0);
      }
    }
  }
}

Client::Client(Channel& channel, const Endpoint& server, std::size_t size)
    : channel_(channel), message_(size, 'x'), answer_(size) {
  channel_.connect(server, 0);
  Completion connected;
  channel_.wait({&connected, 1});
  if (connected.error != 0) die("cannot connect", connected.error);
  connection_ = connected.handle;
}

Client::~Client() {
  channel_.close(connection_, 0, ringway::kQuiet);
  channel_.submit();
}

bool Client::exchange(std::uint64_t number) {
  std::memcpy(message_.data(), &number, sizeof number);
  channel_.write(connection_, message_.data(), message_.size(), 0, ringway::kQuiet);
  for (std::size_t have = 0; have < answer_.size();) {
    channel_.read(connection_, answer_.data() + have, answer_.size() - have, 0);
    Completion c;
    if (channel_.wait({&c, 1}) < 0) continue;
    if (c.error != 0) die("the connection failed", c.error);
    if (c.operation != Operation::kRead || c.length == 0) return false;
    have += c.length;
  }
  return message_ == answer_;
}

}  // namespace pingpong
