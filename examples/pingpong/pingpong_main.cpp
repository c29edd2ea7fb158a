// rw-pingpong-native: as rw-pingpong (bench/README.md), written on the native API. Same words, same
// output.

#include <cstdio>

#include "bench/programs/latencies.h"
#include "bench/programs/sockets.h"
#include "bench/programs/tools.h"
#include "pingpong.h"

namespace {

constexpr const char* kUsage =
    "rw-pingpong-native server --port PORT [--size 64] [--cpu N]\n"
    "rw-pingpong-native client --connect HOST:PORT [--size 64] [--seconds 2] [--warm-up 0.2]\n"
    "                          [--count N] [--cpu N]";

void serve(ringway::Channel& channel, std::uint16_t port, std::size_t size) {
  pingpong::Server server(channel, port, size);
  plain::print_ready();
  while (!plain::stopping()) {
    const double cpu_start = plain::cpu_seconds();
    const std::uint64_t messages = server.serve_one(&plain::stopping);
    std::printf(
        "{\"program\":\"rw-pingpong-native\",\"role\":\"server\",\"messages\":%llu,"
        "\"cpu_seconds\":%.6f}\n",
        static_cast<unsigned long long>(messages), plain::cpu_seconds() - cpu_start);
    std::fflush(stdout);
  }
}

struct Duration {
  double seconds;
  std::uint64_t count;  ///< 0: by seconds
};

std::uint64_t play(pingpong::Client& client, const plain::TickClock& clock, Duration duration,
                   std::uint64_t sequence, plain::Latencies& latencies) {
  const std::uint64_t length = clock.ticks_of_seconds(duration.seconds);
  const std::uint64_t start = plain::ticks();
  std::uint64_t before = start;
  for (std::uint64_t done = 0;
       duration.count == 0 ? before - start < length : done < duration.count; ++done) {
    if (!client.exchange(++sequence)) {
      pingpong::die("the answer differs from the request, or the server closed", 0);
    }
    const std::uint64_t now = plain::ticks();
    latencies.add(now - before);
    before = now;
  }
  return sequence;
}

void measure(pingpong::Client& client, std::size_t size, double warm_up, Duration duration) {
  const plain::TickClock clock;
  static plain::Latencies latencies;
  std::uint64_t sequence = play(client, clock, {warm_up, 0}, 0, latencies);
  latencies = {};
  const double cpu_start = plain::cpu_seconds();
  const std::uint64_t start = plain::ticks();
  sequence = play(client, clock, duration, sequence, latencies);
  const double seconds =
      static_cast<double>(plain::ticks() - start) * clock.nanoseconds_per_tick() / 1e9;
  std::printf(
      "{\"program\":\"rw-pingpong-native\",\"role\":\"client\",\"protocol\":\"tcp\",\"mode\":"
      "\"spin\",\"size\":%zu,\"requests\":%llu,\"lost\":0,\"seconds\":%.6f,\"rate\":%.1f,%s,"
      "\"cpu_seconds\":%.6f}\n",
      size, static_cast<unsigned long long>(sequence), seconds,
      static_cast<double>(latencies.count()) / seconds,
      latencies.json(clock.nanoseconds_per_tick()).c_str(), plain::cpu_seconds() - cpu_start);
}

}  // namespace

int main(int argc, char** argv) {
  plain::Args args(argc, argv, "", kUsage);
  const auto size = static_cast<std::size_t>(args.whole("size", 64));
  if (size < 8) plain::die("--size is at least 8");
  plain::pin(args.whole("cpu", -1));
  const bool server = args.role() == "server";
  const auto port = static_cast<std::uint16_t>(args.whole("port", 7000));
  const std::string to = args.text("connect", "127.0.0.1:7000");
  const Duration duration{args.number("seconds", 2),
                          static_cast<std::uint64_t>(args.whole("count", 0))};
  const double warm_up = args.number("warm-up", 0.2);
  args.finish();
  plain::stop_on_signals();
  ringway::ChannelOptions options;
  options.program = "rw-pingpong-native";
  ringway::Failure failure;
  const auto channel = ringway::Channel::open(options, &failure);
  if (channel == nullptr) plain::die(failure.what);
  if (server) {
    serve(*channel, port, size);
    return 0;
  }
  const auto target = ringway::Endpoint::parse(to);
  if (!target) plain::die("--connect is HOST:PORT, HOST an address");
  pingpong::Client client(*channel, *target, size);
  measure(client, size, warm_up, duration);
  return 0;
}
