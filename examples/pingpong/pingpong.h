#pragma once

#include <ringway/channel.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pingpong {

/// Answers every message of `size` bytes with itself, one connection after the other.
class Server {
 public:
  /// Prints to stderr and exits if that is not possible.
  Server(ringway::Channel& channel, std::uint16_t port, std::size_t size);
  /// Until the client closes or `stopping` says so. Returns the messages answered.
  std::uint64_t serve_one(bool (*stopping)());

 private:
  ringway::Channel& channel_;
  std::vector<char> message_;
};

/// Sends a message and waits for it to come back.
class Client {
 public:
  Client(ringway::Channel& channel, const ringway::Endpoint& server, std::size_t size);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// One message there and back. False if the answer is not what was sent.
  bool exchange(std::uint64_t number);

 private:
  ringway::Channel& channel_;
  ringway::Handle connection_;
  std::vector<char> message_;
  std::vector<char> answer_;
};

/// Prints and exits with 1.
[[noreturn]] void die(const std::string& what, int error);

}  // namespace pingpong
