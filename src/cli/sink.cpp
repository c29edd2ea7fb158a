#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/traffic_run.h"
#include "port/spec.h"

namespace ringway::cli {

using base::Duration;
using base::Instant;

namespace {

struct SinkText {
  std::string spec;
  std::string duration;
  std::uint64_t count = 0;
  bool busy = false;
  bool json = false;
  bool quiet = false;
};

/// Frames longer than this arrive in pieces or not at all, as the driver does it.
constexpr std::uint32_t kMostBytes = 9216;

std::string live_line(const traffic::Receiver& receiver, std::uint64_t in_second, Duration since) {
  const auto sequence = receiver.sequence();
  return fmt::format("{:>4} s  received {:>12}  {:<12} lost {}  reordered {}  p50 {}  p99 {}",
                     since.ns / 1'000'000'000, receiver.counts().frames,
                     format_rate(static_cast<double>(in_second), "pps"), sequence.lost,
                     sequence.reordered, format_ns(receiver.latency().quantile(500)),
                     format_ns(receiver.latency().quantile(990)));
}

void report(const SinkText& text, const traffic::Receiver& receiver, const port::Port& port,
            Duration time) {
  if (text.json) {
    auto all = receiver_json(receiver, time);
    all["seconds"] = static_cast<double>(time.ns) / 1e9;
    all["port"] = port_json(port.counters());
    fmt::print("{}\n", all.dump(2));
    return;
  }
  fmt::print("{}{}", receiver_text(receiver, time), port_text(port.counters()));
}

int run_sink(const SinkText& text) {
  TrafficLoop loop;
  if (!text.duration.empty()) {
    const auto ns = port::parse_value(port::OptionKind::kDuration, text.duration);
    if (!ns) {
      complain("sink", ns.error());
      return 2;
    }
    loop.duration = Duration::nanoseconds(*ns);
  }
  auto opened = OpenPort::open(text.spec, kMostBytes);
  if (!opened) return complain("sink", opened.error());
  traffic::Receiver receiver(*opened->port, opened->pool());
  std::uint64_t told = 0;
  // Rates are over the time in which frames came: the generator mostly starts later.
  Instant first = Instant::never();
  Instant last{};
  loop.port = opened->port.get();
  loop.busy = text.busy;
  loop.turn = [&](Instant now) {
    const std::size_t n = receiver.turn(now);
    if (n != 0) {
      first = std::min(first, now);
      last = now;
    }
    return n;
  };
  loop.done = [&] { return text.count != 0 && receiver.counts().frames >= text.count; };
  loop.next_due = [] { return Instant::never(); };
  if (!text.quiet) {
    loop.tell = [&](Duration since) {
      show_live(live_line(receiver, receiver.counts().frames - told, since));
      told = receiver.counts().frames;
    };
  }
  const auto time = run_traffic(loop);
  if (!text.quiet) end_live();
  report(text, receiver, *opened->port, first.is_never() ? Duration{} : last - first);
  return time ? 0 : complain("sink", time.error());
}

}  // namespace

void add_sink(CLI::App& app, Action& action) {
  auto text = std::make_shared<SinkText>();
  auto* sink = app.add_subcommand("sink", "receive from any port and judge what `gen` sent");
  sink->add_option("PORT", text->spec, "the port, such as tap:rw0")->required();
  sink->add_option("-c,--count", text->count, "end after so many frames [never]")->type_name("N");
  sink->add_option("-d,--duration", text->duration, "end after this time, such as 10s [never]")
      ->type_name("TIME");
  sink->add_flag("--busy", text->busy, "never sleep");
  sink->add_flag("--json", text->json, "print the result as JSON");
  sink->add_flag("-q,--quiet", text->quiet, "no live line");
  sink->footer(
      "Loss, duplicates, order and latency are told for the frames of `ringway gen`; latency "
      "means\n"
      "something if it runs on the same machine.\n\n"
      "  ringway sink tap:rw0 --duration 10s\n"
      "  ringway sink tap:rw0 --count 1000000 --busy --json");
  sink->callback([&action, text] { action = [text] { return run_sink(*text); }; });
}

}  // namespace ringway::cli
