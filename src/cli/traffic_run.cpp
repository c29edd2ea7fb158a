#include "cli/traffic_run.h"

#include <fmt/format.h>
#include <immintrin.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "base/sys.h"
#include "cli/clock.h"
#include "driver/open.h"

namespace ringway::cli {

using base::Duration;
using base::Instant;
using base::Result;
namespace sys = base::sys;

namespace {

constexpr std::uint32_t kFrames = 4096;
/// Traffic mostly goes on within a moment, and a wake-up costs about as much.
constexpr Duration kSpin = Duration::microseconds(50);
/// How often a signal, or a port that went away, is looked for while busy.
constexpr Duration kLook = Duration::milliseconds(10);
/// A port without a descriptor to wait on is looked at this often.
constexpr Duration kBlindSleep = Duration::microseconds(200);

volatile std::sig_atomic_t g_stop = 0;

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_stop = 1; };  // no SA_RESTART: a sleep ends
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool port_is_gone(port::Port& port) {
  const auto fd = port.arm();
  if (!fd) return false;
  pollfd look{*fd, 0, 0};
  return sys::poll(&look, 1, 0) > 0 && (look.revents & (POLLERR | POLLNVAL)) != 0;
}

/// Sleeps until `until`, on the port's descriptor if `loop` waits for frames.
void sleep_until(const TrafficLoop& loop, Instant now, Instant until) {
  const std::int64_t most = Duration::milliseconds(200).ns;
  std::int64_t ns = until.is_never() ? most : std::clamp<std::int64_t>((until - now).ns, 0, most);
  const bool waits = loop.wakes_up && loop.port != nullptr;
  const auto fd = waits ? loop.port->arm() : Result<int>(-1);
  if (!fd) ns = std::min(ns, kBlindSleep.ns);
  timespec timeout{ns / 1'000'000'000, ns % 1'000'000'000};
  pollfd wait{fd ? *fd : -1, POLLIN, 0};
  sys::ppoll(&wait, wait.fd < 0 ? 0 : 1, &timeout);
}

}  // namespace

Result<OpenPort> OpenPort::open(const std::string& spec, std::uint32_t most_bytes) {
  OpenPort opened;
  opened.memory = std::make_unique<traffic::FrameMemory>();
  if (auto made = opened.memory->make(kFrames, most_bytes); !made) {
    return tl::unexpected(std::move(made).error());
  }
  auto port = driver::open_port(spec, opened.memory->pool());
  if (!port) return tl::unexpected(std::move(port).error());
  opened.port = std::move(*port);
  return opened;
}

Result<Duration> run_traffic(const TrafficLoop& loop) {
  catch_signals();
  const Instant start = monotonic_now();
  const Instant end = start + loop.duration;
  Instant next_tell = start + (loop.tell ? loop.interval : Duration::infinite());
  Instant next_look = start + kLook;
  Instant last_work = start;
  Instant now = start;
  while (g_stop == 0 && now < end && !loop.done()) {
    if (loop.turn(now) != 0) last_work = now;
    if (now >= next_tell) {
      loop.tell(now - start);
      next_tell = next_tell + loop.interval;
    }
    if (now >= next_look) {
      if (loop.port != nullptr && port_is_gone(*loop.port)) {
        return base::fail(base::ErrorCode::kUnavailable,
                          fmt::format("the port {} went away while it was in use; start again when "
                                      "it is back",
                                      loop.port->name()));
      }
      next_look = now + kLook;
    }
    const Instant due = std::min(
        loop.next_due(), loop.port != nullptr ? loop.port->next_deadline() : Instant::never());
    if (loop.busy || due <= now + kSpin || now - last_work < kSpin) {
      _mm_pause();
    } else {
      sleep_until(loop, now, std::min({due, end, next_tell}));
      next_look = now;  // sleeping is when a port goes away
    }
    now = monotonic_now();
  }
  return now - start;
}

std::string format_rate(double per_second, const std::string& unit) {
  for (const char* prefix : {"", "k", "M", "G"}) {
    if (per_second < 999.5) {
      const int digits = per_second < 10 ? 2 : per_second < 100 ? 1 : 0;
      return fmt::format("{:.{}f} {}{}", per_second, digits, prefix, unit);
    }
    per_second /= 1000;
  }
  return fmt::format("{:.1f} T{}", per_second, unit);
}

std::string format_ns(std::uint64_t ns) {
  if (ns < 1000) return fmt::format("{} ns", ns);
  if (ns < 1'000'000) return fmt::format("{:.1f} us", static_cast<double>(ns) / 1e3);
  if (ns < 1'000'000'000) return fmt::format("{:.1f} ms", static_cast<double>(ns) / 1e6);
  return fmt::format("{:.2f} s", static_cast<double>(ns) / 1e9);
}

void show_live(const std::string& line) {
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  fmt::print(stderr, "{}{}{}", terminal ? "\r\033[K" : "", line, terminal ? "" : "\n");
}

void end_live() {
  if (::isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\n");
}

}  // namespace ringway::cli
