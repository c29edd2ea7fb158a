#include "bench/runner/run.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "bench/runner/machine.h"

namespace ringway::bench {
namespace {

using base::Duration;
using base::Result;

constexpr Duration kReadyLimit = Duration::seconds(10);
constexpr Duration kProbeLimit = Duration::seconds(3);
constexpr Duration kStopGrace = Duration::seconds(2);

Result<void> probe_until_up(const Command& probe) {
  const base::Instant end = now() + kReadyLimit;
  for (;;) {
    const Result<std::string> answer = run_to_end(probe, kProbeLimit);
    if (answer) return {};
    if (now() >= end || interrupted()) {
      return base::fail(base::ErrorCode::kTimeout,
                        "the server does not answer: " + answer.error().what);
    }
    usleep(20'000);
  }
}

class OneRun {
 public:
  OneRun(const Case& one, const RunnerOptions& options, Setting setting)
      : case_(one), options_(options), setting_(std::move(setting)) {}

  Run run() {
    const Result<void> done = attempt();
    if (!done) run_.failure = done.error().what;
    return run_;
  }

 private:
  Result<void> attempt() {
    Result<TemporaryFolder> folder = TemporaryFolder::make();
    if (!folder) return tl::unexpected(folder.error());
    const Result<std::uint16_t> port = free_ports(case_.ports);
    if (!port) return tl::unexpected(port.error());
    setting_.folder = folder->path();
    setting_.port = *port;
    Result<Plan> plan = case_.plan(setting_);
    if (!plan) return tl::unexpected(plan.error());
    plan_ = std::move(*plan);
    Result<Process> server = Process::start(command(plan_.server, options_.server_cpu));
    if (!server) return tl::unexpected(server.error());
    Result<void> ready = server->wait_for_text(plan_.ready_text, kReadyLimit);
    if (ready && !plan_.probe.empty())
      ready = probe_until_up(command(plan_.probe, options_.client_cpu));
    if (!ready) return base::fail(ready.error().code, "server: " + ready.error().what);
    return measure(*server);
  }

  Command command(const std::vector<std::string>& words, int cpu) const {
    Command result{words, cpu};
    if (setting_.side == SideName::kRingway && !plan_.native) {
      result.argv.insert(result.argv.begin(), {options_.ringway, "run", "--"});
    }
    return result;
  }

  Result<void> measure(Process& server) {
    // A client that hangs is given thrice its time: slow is a result, and no end is one too.
    const double expected =
        setting_.seconds + static_cast<double>(setting_.redis_requests) / 20'000;
    const auto limit =
        Duration::milliseconds(static_cast<std::int64_t>(1000 * (3 * expected + 10)));
    const double server_cpu = group_cpu_seconds(server.group());
    const CpuTimes times = read_cpu_times();
    const base::Instant start = now();
    Result<Process> client = Process::start(command(plan_.client, options_.client_cpu));
    if (!client) return tl::unexpected(client.error());
    const Result<Exit> exit = client->wait(limit);
    const double passed = static_cast<double>((now() - start).ns) / 1e9;
    const double server_used = group_cpu_seconds(server.group()) - server_cpu;
    const CpuTimes times_after = read_cpu_times();
    run_.steal_percent = steal_percent(times, times_after);
    if (!exit) return base::fail(exit.error().code, "client: " + exit.error().what);
    if (exit->status != 0) {
      return base::fail(
          base::ErrorCode::kUnavailable,
          fmt::format("client: exit status {}: {}", exit->status, client->last_words()));
    }
    run_.server_cores = server_used / passed;
    run_.client_cores = exit->cpu_seconds / passed;
    run_.foreign_cores = std::max(
        0.0, (busy_seconds(times, times_after) - server_used - exit->cpu_seconds) / passed);
    return read_values(server, client->output(), server_used + exit->cpu_seconds);
  }

  Result<void> read_values(Process& server, const std::string& client_output, double cpu_used) {
    Result<Values> values = case_.parse(client_output);
    if (!values) return tl::unexpected(values.error());
    run_.values = std::move(*values);
    if (run_.values.count("cpu_percent") != 0) {
      server.stop(kStopGrace);
      const Result<Values> other = parse_plain(server.output());
      if (!other) return base::fail(other.error().code, "server: " + other.error().what);
      run_.values["cpu_percent"] = std::max(run_.values["cpu_percent"], other->at("cpu_percent"));
      return {};
    }
    if (plan_.requests_per_test > 0) {
      run_.values["requests"] = plan_.requests_per_test * run_.values["tests"];
    }
    if (cpu_used > 0) run_.values["requests_per_cpu_second"] = run_.values["requests"] / cpu_used;
    server.stop(kStopGrace);
    return {};
  }

  const Case& case_;
  const RunnerOptions& options_;
  Setting setting_;
  Plan plan_;
  Run run_;
};

Setting setting_for(const RunnerOptions& options, SideName side) {
  Setting setting;
  setting.side = side;
  setting.programs = options.programs;
  setting.seconds = options.seconds;
  setting.redis_requests = options.redis_requests;
  return setting;
}

/// The kernel side with one congestion control, set by option or for the system.
Run run_kernel(const Case& one, const RunnerOptions& options, const std::string& congestion,
               bool brief) {
  Setting setting = setting_for(options, SideName::kKernel);
  if (brief) {
    setting.seconds = std::min(setting.seconds, 0.5);
    setting.redis_requests = std::min<std::uint64_t>(setting.redis_requests, 30'000);
  }
  CongestionSetting system;
  if (one.congestion == Congestion::kOption) setting.congestion = congestion;
  if (one.congestion == Congestion::kSystem && !congestion.empty()) system.change(congestion);
  return OneRun(one, options, setting).run();
}

/// Gives the kernel its better congestion control: one short run with each.
std::string choose_congestion(const Case& one, const RunnerOptions& options,
                              const Progress& progress) {
  if (one.congestion == Congestion::kNone) return {};
  if (one.congestion == Congestion::kSystem && !CongestionSetting::may_change()) {
    return CongestionSetting::current();
  }
  std::string best;
  double best_value = 0;
  for (const std::string& candidate : congestion_candidates()) {
    const Run run = run_kernel(one, options, candidate, true);
    const auto found = run.values.find(one.metric.name);
    if (!run.ok() || found == run.values.end()) continue;
    progress(
        fmt::format("kernel with {}: {} {}", candidate, figure(found->second), one.metric.unit));
    const bool better =
        one.metric.higher_is_better ? found->second > best_value : found->second < best_value;
    if (best.empty() || better) {
      best = candidate;
      best_value = found->second;
    }
  }
  return best;
}

std::string missing_program(const Case& one) {
  std::istringstream words(one.programs);
  for (std::string program; words >> program;) {
    if (find_program(program).empty()) return program;
  }
  return {};
}

std::string describe(const Case& one, const Run& run) {
  if (!run.ok()) return "failed: " + run.failure;
  const auto found = run.values.find(one.metric.name);
  if (found == run.values.end()) return fmt::format("no {}", one.metric.name);
  return fmt::format("{} {}", figure(found->second), one.metric.unit);
}

/// Two failures in a row are enough to believe it.
bool keeps_failing(const std::vector<Pair>& pairs) {
  const std::size_t count = pairs.size();
  return count >= 2 && !pairs[count - 1].ringway.ok() && !pairs[count - 2].ringway.ok();
}

}  // namespace

std::string why_no_ringway(const RunnerOptions& options) {
  if (options.ringway.empty() || access(options.ringway.c_str(), X_OK) != 0) {
    return "no ringway command found (looked for it beside this program; give --ringway PATH)";
  }
  const Result<std::string> result =
      run_to_end({{options.ringway, "run", "--", "/bin/true"}, -1}, Duration::seconds(10));
  if (!result)
    return fmt::format("'{} run -- /bin/true' fails: {}", options.ringway, result.error().what);
  return {};
}

CaseResult run_case(const Case& one, const RunnerOptions& options, const Progress& progress) {
  CaseResult result;
  result.of = &one;
  result.has_ringway = !options.ringway.empty();
  if (const std::string missing = missing_program(one); !missing.empty()) {
    result.skipped = missing + " is not installed";
    return result;
  }
  if (result.has_ringway) {
    Setting probe = setting_for(options, SideName::kRingway);
    probe.folder = "/nonexistent";
    const Result<Plan> plan = one.plan(probe);
    if (!plan) {
      result.skipped = plan.error().what;
      return result;
    }
  }
  result.congestion = choose_congestion(one, options, progress);
  bool ringway_alive = result.has_ringway;
  for (std::size_t i = 0; i < options.pairs && !interrupted(); ++i) {
    Pair pair;
    pair.kernel = run_kernel(one, options, result.congestion, false);
    const std::string head = fmt::format("pair {}/{}", i + 1, options.pairs);
    progress(fmt::format("{}: kernel {}", head, describe(one, pair.kernel)));
    if (ringway_alive && !interrupted()) {
      pair.ringway = OneRun(one, options, setting_for(options, SideName::kRingway)).run();
      progress(fmt::format("{}: Ringway {}", head, describe(one, pair.ringway)));
    } else {
      pair.ringway.failure = "not run";
    }
    result.pairs.push_back(std::move(pair));
    if (keeps_failing(result.pairs)) ringway_alive = false;
  }
  result.comparison = compare(result.pairs, one.metric.name, one.metric.higher_is_better);
  return result;
}

}  // namespace ringway::bench
