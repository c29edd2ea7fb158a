// A tiny HTTP/1.1 server: answers GET with one page, keeps connections alive, takes pipelined
// requests (RFC 9112, 9.3).
//
//     http PORT

#include <ringway/channel.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

namespace {

using ringway::Completion;
using ringway::Handle;
using ringway::Operation;

constexpr std::size_t kLongestRequest = 8192;
constexpr std::string_view kPage =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 22\r\n\r\n"
    "Hello from the ring.\r\n";
constexpr std::string_view kNotAllowed =
    "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nContent-Length: 0\r\nConnection: "
    "close\r\n\r\n";
constexpr std::string_view kTooLong =
    "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: "
    "close\r\n\r\n";

/// True if the header says so, in any case of letters.
bool asks_to_close(std::string_view request) {
  constexpr std::string_view kName = "connection: close";
  for (std::size_t at = 0; at + kName.size() <= request.size(); ++at) {
    std::size_t i = 0;
    while (i < kName.size() && (request[at + i] | 0x20) == (kName[i] | 0x20)) ++i;
    if (i == kName.size()) return true;
  }
  return false;
}

class Server {
 public:
  explicit Server(ringway::Channel& channel) : channel_(channel) {}

  void react(const Completion& c) {
    if (channel_.room() < 16) channel_.submit();
    if (c.operation == Operation::kListen) {
      if (c.error != 0) std::exit(1);
      channel_.accept(c.handle, 0);
      std::printf("ready %u\n", channel_.local(c.handle).port);
      std::fflush(stdout);
    } else if (c.operation == Operation::kAccept && c.error == 0) {
      channel_.lend(c.handle, 0);
    } else if (c.operation == Operation::kLend) {
      received(c);
    } else if (c.operation == Operation::kHalfClose && c.user_data != 0) {
      end(c.handle);
    }
  }

 private:
  void received(const Completion& c) {
    if (c.error != 0) return end(c.handle);
    if (c.length == 0) {
      // The client is done; close when all answers are taken.
      channel_.half_close(c.handle, 1);
      return;
    }
    const std::string_view bytes(reinterpret_cast<const char*>(c.data), c.length);
    const auto begun = begun_.find(c.handle.index);
    if (begun == begun_.end()) {
      // The usual case: whole requests, looked at where they arrived.
      const std::size_t used = answer_all(c.handle, bytes);
      if (used < bytes.size()) keep(c.handle, bytes.substr(used));
    } else {
      begun->second.append(bytes);
      const std::string request = std::move(begun->second);
      begun_.erase(begun);
      const std::size_t used = answer_all(c.handle, request);
      if (used < request.size()) keep(c.handle, std::string_view(request).substr(used));
    }
    channel_.release(c);
  }
  void keep(Handle connection, std::string_view rest) {
    if (rest.size() > kLongestRequest) {
      refuse(connection, kTooLong);
    } else {
      begun_[connection.index] = rest;
    }
  }
  /// Answers all complete requests; returns the bytes that they took.
  std::size_t answer_all(Handle connection, std::string_view bytes) {
    std::size_t used = 0;
    for (;;) {
      const std::string_view rest = bytes.substr(used);
      const auto end = rest.find("\r\n\r\n");
      if (end == std::string_view::npos) return used;
      const std::string_view request = rest.substr(0, end + 4);
      used += request.size();
      if (!request.starts_with("GET ")) {
        refuse(connection, kNotAllowed);
        return bytes.size();
      }
      if (channel_.room() < 4) channel_.submit();
      channel_.write(connection, kPage.data(), kPage.size(), 0, ringway::kQuiet);
      if (asks_to_close(request)) {
        // What the client still sends is read, so that the close is no reset (RFC 9112, 9.6).
        channel_.half_close(connection, 0, ringway::kQuiet);
        return bytes.size();
      }
    }
  }
  void refuse(Handle connection, std::string_view answer) {
    channel_.write(connection, answer.data(), answer.size(), 0, ringway::kQuiet);
    channel_.half_close(connection, 0, ringway::kQuiet);
  }
  void end(Handle connection) {
    begun_.erase(connection.index);
    channel_.close(connection, 0, ringway::kQuiet);
  }

  ringway::Channel& channel_;
  std::unordered_map<std::uint32_t, std::string> begun_;  ///< requests of which more is to come
};

}  // namespace

int main(int argc, char** argv) {
  const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 80);
  ringway::ChannelOptions options;
  options.program = "http";
  ringway::Failure failure;
  const auto channel = ringway::Channel::open(options, &failure);
  if (channel == nullptr) {
    std::fprintf(stderr, "http: %s\n", failure.what.c_str());
    return 1;
  }
  channel->listen(ringway::Endpoint::any_v4(port), 0);
  Server server(*channel);
  std::array<Completion, 256> done;
  for (int n = 0; n >= 0; n = channel->wait(done)) {
    for (const Completion& c : std::span(done).first(static_cast<std::size_t>(n))) server.react(c);
  }
  return 0;
}
