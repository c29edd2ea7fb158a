#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "cli/clock.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/traffic_run.h"
#include "port/spec.h"
#include "traffic/generator.h"

namespace ringway::cli {

using base::Duration;
using base::Instant;
using base::Result;

namespace {

/// As a person gave it.
struct GenText {
  std::string spec;
  std::string rate = "max";
  std::string size = "64";
  std::string src;
  std::string dst;
  std::string src_port;
  std::string dst_port;
  std::string src_mac;
  std::string dst_mac;
  std::string duration;
  std::uint64_t count = 0;
  std::uint32_t burst = 32;
  int vlan = -1;
  bool busy = false;
  bool json = false;
  bool quiet = false;
};

/// Puts what `parse` makes of `text` into `out`; an empty text leaves it as it is.
template <typename T, typename Parse>
Result<void> take(const std::string& text, Parse&& parse, T& out) {
  if (text.empty()) return {};
  auto value = parse(text);
  if (!value) return tl::unexpected(std::move(value).error());
  out = std::move(*value);
  return {};
}

Result<traffic::FramePattern> pattern_of(const GenText& text) {
  traffic::FramePattern pattern;
  for (auto&& done : {take(text.size, traffic::Sizes::parse, pattern.sizes),
                      take(text.src, traffic::AddressRange::parse, pattern.src),
                      take(text.dst, traffic::AddressRange::parse, pattern.dst),
                      take(text.src_port, traffic::PortRange::parse, pattern.src_port),
                      take(text.dst_port, traffic::PortRange::parse, pattern.dst_port),
                      take(text.src_mac, base::parse_mac, pattern.src_mac),
                      take(text.dst_mac, base::parse_mac, pattern.dst_mac)}) {
    if (!done) return tl::unexpected(done.error());
  }
  if (text.vlan >= 0) pattern.vlan = static_cast<std::uint16_t>(text.vlan);
  return pattern;
}

/// What is asked for, understood.
struct Gen {
  traffic::FrameMaker maker;
  traffic::GeneratorOptions options;
  Duration duration = Duration::infinite();
  std::uint32_t most_bytes = 0;
};

Result<Gen> understand(const GenText& text) {
  const auto pattern = pattern_of(text);
  if (!pattern) return tl::unexpected(pattern.error());
  auto maker = traffic::FrameMaker::create(*pattern);
  if (!maker) return tl::unexpected(maker.error());
  Gen gen{std::move(*maker), {}, Duration::infinite(), pattern->sizes.most()};
  if (auto done = take(text.rate, traffic::Rate::parse, gen.options.rate); !done) {
    return tl::unexpected(done.error());
  }
  const auto parse_time = [](const std::string& value) {
    return port::parse_value(port::OptionKind::kDuration, value);
  };
  std::int64_t ns = INT64_MAX;
  if (auto done = take(text.duration, parse_time, ns); !done) return tl::unexpected(done.error());
  gen.duration = Duration::nanoseconds(ns);
  gen.options.burst = text.burst;
  gen.options.count = text.count;
  const auto seed =
      static_cast<std::uint64_t>(monotonic_now().ns) ^ static_cast<std::uint64_t>(::getpid()) << 32;
  gen.options.stream = static_cast<std::uint16_t>(base::Random::mix(seed));
  return gen;
}

void report(const GenText& text, const traffic::Generator& generator, const traffic::Receiver& back,
            const port::Port& port, Duration time) {
  const double seconds = std::max(static_cast<double>(time.ns) / 1e9, 1e-9);
  // What the port took and could not send is in its counters, and was not sent.
  const std::uint64_t refused = port.counters().tx_bad + port.counters().tx_error;
  const std::uint64_t frames = generator.frames() - std::min(refused, generator.frames());
  if (text.json) {
    nlohmann::json all{{"frames", frames},
                       {"bytes", generator.bytes()},
                       {"seconds", seconds},
                       {"frames_per_second", static_cast<double>(frames) / seconds},
                       {"bits_per_second", static_cast<double>(generator.bytes()) * 8 / seconds},
                       {"port_full", generator.full()},
                       {"port", port_json(port.counters())}};
    if (back.counts().stamped != 0) all["came_back"] = receiver_json(back, time);
    fmt::print("{}\n", all.dump(2));
    return;
  }
  fmt::print("sent {} frames, {} bytes in {:.2f} s: {}, {}; the port was full {} times\n", frames,
             generator.bytes(), seconds, format_rate(static_cast<double>(frames) / seconds, "pps"),
             format_rate(static_cast<double>(generator.bytes()) * 8 / seconds, "bit/s"),
             generator.full());
  if (back.counts().stamped != 0) fmt::print("came back: {}", receiver_text(back, time));
  fmt::print("{}", port_text(port.counters()));
}

/// Of a tagged frame; who sends one with 4 bytes more than the MTU without a tag is told by the
/// port.
constexpr std::uint32_t kLinkHeader = 18;

int run_gen(const GenText& text) {
  auto gen = understand(text);
  if (!gen) {
    complain("gen", gen.error());
    return 2;
  }
  auto opened = OpenPort::open(text.spec, gen->most_bytes);
  if (!opened) return complain("gen", opened.error());
  port::Port& port = *opened->port;
  const std::uint32_t most = std::uint32_t{port.caps().mtu} + kLinkHeader;
  if (gen->most_bytes > most) {
    return complain("gen", fmt::format("{} takes frames of up to {} bytes, not {}; give a smaller "
                                       "--size, or a greater mtu= in the port",
                                       port.name(), most, gen->most_bytes));
  }
  traffic::Generator generator(port, opened->pool(), std::move(gen->maker), gen->options);
  // What a peer sends back must not fill the port; if it is our own, it is the round trip.
  traffic::Receiver back(port, opened->pool());
  std::uint64_t told = 0;
  TrafficLoop loop;
  loop.port = &port;
  loop.duration = gen->duration;
  loop.busy = text.busy;
  loop.wakes_up = false;
  loop.turn = [&](Instant now) {
    const std::size_t sent = generator.turn(now);
    return sent + back.turn(now);
  };
  loop.done = [&] { return generator.done(); };
  loop.next_due = [&] {
    // A port that is full is asked again soon; the descriptor tells of frames to receive only.
    return generator.blocked() ? monotonic_now() + Duration::microseconds(100)
                               : generator.next_due();
  };
  if (!text.quiet) {
    loop.tell = [&](Duration since) {
      const auto now = static_cast<double>(generator.frames() - told);
      told = generator.frames();
      show_live(fmt::format("{:>4} s  sent {:>12}  {}", since.ns / 1'000'000'000,
                            generator.frames(), format_rate(now, "pps")));
    };
  }
  const auto time = run_traffic(loop);
  if (!text.quiet) end_live();
  if (!time) return complain("gen", time.error());
  report(text, generator, back, port, *time);
  return 0;
}

void add_frame_options(CLI::App& app, GenText& text) {
  app.add_option("--size", text.size, "bytes of a frame: 64, 64-1514 (in turn) or imix [64]");
  app.add_option("--src", text.src, "source address or range A-B [198.18.0.1]")->type_name("ADDR");
  app.add_option("--dst", text.dst, "destination address or range A-B [198.19.0.1]")
      ->type_name("ADDR");
  app.add_option("--sport", text.src_port, "source port or range [1000]")->type_name("PORT");
  app.add_option("--dport", text.dst_port, "destination port or range [9]")->type_name("PORT");
  app.add_option("--src-mac", text.src_mac, "[02:52:57:00:00:11]")->type_name("MAC");
  app.add_option("--dst-mac", text.dst_mac, "[02:52:57:00:00:12]")->type_name("MAC");
  app.add_option("--vlan", text.vlan, "put a tag with this VLAN into every frame")
      ->type_name("ID")
      ->check(CLI::Range(0, 4094));
}

}  // namespace

void add_gen(CLI::App& app, Action& action) {
  auto text = std::make_shared<GenText>();
  auto* gen = app.add_subcommand("gen", "send frames into any port, at a rate");
  gen->add_option("PORT", text->spec, "the port, such as tap:rw0")->required();
  gen->add_option("--rate", text->rate, "max, 250kpps, 1gbit [max]");
  add_frame_options(*gen, *text);
  gen->add_option("-c,--count", text->count, "end after so many frames [never]")->type_name("N");
  gen->add_option("-d,--duration", text->duration, "end after this time, such as 10s [never]")
      ->type_name("TIME");
  gen->add_option("--burst", text->burst, "frames handed to the port at once [32]")
      ->check(CLI::Range(1U, traffic::Generator::kMostBurst));
  gen->add_flag("--busy", text->busy, "never sleep");
  gen->add_flag("--json", text->json, "print the result as JSON");
  gen->add_flag("-q,--quiet", text->quiet, "no live line");
  gen->footer(
      "Frames are UDP and carry a number and the time for `ringway sink`.\n\n"
      "  ringway gen tap:rw0 --rate 100kpps --duration 10s\n"
      "  ringway gen tap:rw0 --size imix --dst 10.0.0.1-10.0.0.50 --sport 1000-1999 --rate 1gbit");
  gen->callback([&action, text] { action = [text] { return run_gen(*text); }; });
}

}  // namespace ringway::cli
