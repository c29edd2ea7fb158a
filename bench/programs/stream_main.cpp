// rw-stream: one connection, large writes one way, for some seconds. The receiver answers the end
// of the stream with the number of bytes it got, so the rate counts only what arrived.

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "sockets.h"
#include "tools.h"

namespace {

constexpr const char* kUsage =
    "rw-stream server --port PORT [--block 65536] [--spin] [--verify] [--cpu N] [--cc NAME]\n"
    "rw-stream client --connect HOST:PORT [--block 65536] [--seconds 2] [--spin] [--cpu N] [--cc "
    "NAME]\n"
    "          (with --verify the server compares every byte; --block must then be alike on both "
    "sides)";

std::vector<char> pattern(std::size_t size) {
  std::vector<char> block(size);
  std::uint32_t state = 1;
  for (char& byte : block) {
    state = state * 1'664'525U + 1'013'904'223U;
    byte = static_cast<char>(state >> 24);
  }
  return block;
}

class Receiver {
 public:
  Receiver(std::size_t block, bool spin, bool verify)
      : buffer_(block), expected_(pattern(block)), spin_(spin), verify_(verify) {}

  void serve(int fd) {
    const double cpu_start = plain::cpu_seconds();
    if (spin_) plain::set_nonblocking(fd);
    bytes_ = 0;
    while (read_some(fd)) continue;
    plain::send_all(fd, &bytes_, sizeof bytes_);
    close(fd);
    std::printf(
        "{\"program\":\"rw-stream\",\"role\":\"server\",\"bytes\":%llu,\"cpu_seconds\":%.6f}\n",
        static_cast<unsigned long long>(bytes_), plain::cpu_seconds() - cpu_start);
    std::fflush(stdout);
  }

 private:
  bool read_some(int fd) {
    const ssize_t got = recv(fd, buffer_.data(), buffer_.size(), 0);
    if (got == 0) return false;
    if (got < 0) {
      if (!plain::would_block()) plain::die("recv");
      return !plain::stopping();
    }
    if (verify_) compare(static_cast<std::size_t>(got));
    bytes_ += static_cast<std::uint64_t>(got);
    return true;
  }

  void compare(std::size_t length) const {
    std::size_t position = bytes_ % expected_.size();
    for (std::size_t done = 0; done < length;) {
      const std::size_t part = std::min(length - done, expected_.size() - position);
      if (std::memcmp(buffer_.data() + done, expected_.data() + position, part) != 0) {
        errno = 0;
        plain::die("wrong bytes after " + std::to_string(bytes_ + done));
      }
      done += part;
      position = 0;
    }
  }

  std::vector<char> buffer_;
  std::vector<char> expected_;
  bool spin_;
  bool verify_;
  std::uint64_t bytes_ = 0;
};

void serve(plain::Args& args, std::size_t block) {
  const auto port = static_cast<std::uint16_t>(args.whole("port", 7000));
  const std::string congestion = args.text("cc", "");
  const bool spin = args.flag("spin");
  Receiver receiver(block, spin, args.flag("verify"));
  args.finish();
  const int listener = plain::listen_tcp(port, congestion);
  plain::print_ready();
  while (!plain::stopping()) {
    const int fd = accept(listener, nullptr, nullptr);
    if (fd >= 0) {
      receiver.serve(fd);
    } else if (errno != EINTR && errno != ECONNABORTED) {
      plain::die("accept");
    }
  }
}

void send_stream(plain::Args& args, std::size_t block) {
  const plain::Target target = plain::parse_target(args.text("connect", "127.0.0.1:7000"));
  const double wanted_seconds = args.number("seconds", 2);
  const std::string congestion = args.text("cc", "");
  const bool spin = args.flag("spin");
  args.finish();
  const std::vector<char> data = pattern(block);
  const plain::TickClock clock;
  const int fd = plain::connect_tcp(target, congestion);
  if (spin) plain::set_nonblocking(fd);
  const double cpu_start = plain::cpu_seconds();
  const std::uint64_t start = plain::ticks();
  const std::uint64_t length = clock.ticks_of_seconds(wanted_seconds);
  std::uint64_t writes = 0;
  for (; plain::ticks() - start < length; ++writes) plain::send_all(fd, data.data(), data.size());
  if (shutdown(fd, SHUT_WR) != 0) plain::die("shutdown");
  std::uint64_t arrived = 0;
  if (!plain::receive_all(fd, &arrived, sizeof arrived)) plain::die("no receipt from the server");
  const double seconds =
      static_cast<double>(plain::ticks() - start) * clock.nanoseconds_per_tick() / 1e9;
  errno = 0;
  if (arrived != writes * block) {
    plain::die("sent " + std::to_string(writes * block) + " bytes, " + std::to_string(arrived) +
               " arrived");
  }
  std::printf(
      "{\"program\":\"rw-stream\",\"role\":\"client\",\"block\":%zu,\"requests\":%llu,\"bytes\":%"
      "llu,"
      "\"seconds\":%.6f,\"gbit_s\":%.4f,\"cpu_seconds\":%.6f}\n",
      block, static_cast<unsigned long long>(writes), static_cast<unsigned long long>(arrived),
      seconds, static_cast<double>(arrived) * 8 / seconds / 1e9, plain::cpu_seconds() - cpu_start);
  close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  plain::Args args(argc, argv, "spin verify", kUsage);
  plain::pin(args.whole("cpu", -1));
  plain::stop_on_signals();
  const auto block = static_cast<std::size_t>(args.whole("block", 65536));
  if (block == 0 || block > (std::size_t{1} << 30)) plain::die("--block is 1 byte to 1 GiB");
  if (args.role() == "server") {
    serve(args, block);
  } else {
    send_stream(args, block);
  }
  return 0;
}
