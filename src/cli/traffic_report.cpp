#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "cli/traffic_run.h"

namespace ringway::cli {

namespace {

struct Named {
  const char* name;
  std::uint64_t port::PortCounters::*value;
};

/// What went wrong; the frames that went well are told otherwise.
constexpr std::array kTroubles{
    Named{"rx_no_frame", &port::PortCounters::rx_no_frame},
    Named{"rx_too_long", &port::PortCounters::rx_too_long},
    Named{"rx_bad", &port::PortCounters::rx_bad},
    Named{"tx_bad", &port::PortCounters::tx_bad},
    Named{"tx_error", &port::PortCounters::tx_error},
};

}  // namespace

nlohmann::json port_json(const port::PortCounters& counters) {
  auto all = nlohmann::json::object();
  for (const Named& one : kTroubles) {
    if (counters.*one.value != 0) all[one.name] = counters.*one.value;
  }
  return all;
}

std::string port_text(const port::PortCounters& counters) {
  std::string text;
  for (const Named& one : kTroubles) {
    if (counters.*one.value != 0) text += fmt::format("  {} {}\n", one.name, counters.*one.value);
  }
  return text.empty() ? text : "port\n" + text;
}

nlohmann::json receiver_json(const traffic::Receiver& receiver, base::Duration time) {
  const double seconds = static_cast<double>(time.ns) / 1e9;
  const auto& counts = receiver.counts();
  const auto sequence = receiver.sequence();
  const auto& latency = receiver.latency();
  nlohmann::json all{{"frames", counts.frames},
                     {"bytes", counts.bytes},
                     {"stamped", counts.stamped},
                     {"damaged", counts.damaged},
                     {"streams", receiver.streams()},
                     {"lost", sequence.lost},
                     {"duplicates", sequence.duplicates},
                     {"reordered", sequence.reordered},
                     {"stale", sequence.stale}};
  if (time.ns > 0) all["frames_per_second"] = static_cast<double>(counts.frames) / seconds;
  if (time.ns > 0) all["bits_per_second"] = static_cast<double>(counts.bytes) * 8 / seconds;
  if (latency.count() != 0) {
    all["latency_ns"] = {{"least", latency.least()},     {"mean", latency.mean()},
                         {"p50", latency.quantile(500)}, {"p90", latency.quantile(900)},
                         {"p99", latency.quantile(990)}, {"p999", latency.quantile(999)},
                         {"most", latency.most()}};
  }
  return all;
}

std::string receiver_text(const traffic::Receiver& receiver, base::Duration time) {
  const double seconds = std::max(static_cast<double>(time.ns) / 1e9, 1e-9);
  const auto& counts = receiver.counts();
  const auto sequence = receiver.sequence();
  const auto& latency = receiver.latency();
  auto text =
      fmt::format("received {} frames, {} bytes in {:.2f} s: {}, {}\n", counts.frames, counts.bytes,
                  seconds, format_rate(static_cast<double>(counts.frames) / seconds, "pps"),
                  format_rate(static_cast<double>(counts.bytes) * 8 / seconds, "bit/s"));
  if (counts.stamped + counts.damaged == 0) return text;
  text += fmt::format("sequence {} lost, {} duplicates, {} reordered, {} stale, {} damaged\n",
                      sequence.lost, sequence.duplicates, sequence.reordered, sequence.stale,
                      counts.damaged);
  text += fmt::format("latency  least {}, p50 {}, p90 {}, p99 {}, p99.9 {}, most {}\n",
                      format_ns(latency.least()), format_ns(latency.quantile(500)),
                      format_ns(latency.quantile(900)), format_ns(latency.quantile(990)),
                      format_ns(latency.quantile(999)), format_ns(latency.most()));
  return text;
}

}  // namespace ringway::cli
