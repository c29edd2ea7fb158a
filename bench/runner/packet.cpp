#include "bench/runner/packet.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "bench/runner/machine.h"
#include "bench/runner/packet_cases.h"
#include "bench/runner/parse.h"
#include "bench/runner/process.h"
#include "bench/runner/stats.h"
#include "bench/runner/sweeper.h"

namespace ringway::bench {
namespace {

using base::ErrorCode;
using base::Result;
using Json = nlohmann::ordered_json;

constexpr const char* kUsage =
    "usage: ringway bench packet [CASE...] [options]\n"
    "The same work on Ringway's rings and on another's, in alternation; without a case, all.\n\n"
    "  --list        the cases\n"
    "  --quick       3 pairs of 1 s instead of 5 of 2 s\n"
    "  --pairs N     runs of each side\n"
    "  --seconds S   length of a run\n"
    "  --json FILE   everything that was measured\n";

struct Options {
  std::vector<const PacketCase*> cases;
  std::string programs;
  std::string json_file;
  std::size_t pairs = 5;
  double seconds = 2;
  bool list = false;
  bool help = false;
};

/// One program from start to end.
struct Measured {
  std::string failure;
  double mpps = 0;
  double cores = 0;
  double steal_percent = 0;
};

struct PacketResult {
  const PacketCase* of = nullptr;
  std::string skipped;
  std::vector<Measured> ours;
  std::vector<Measured> peer;
};

Result<double> positive(const std::string& name, const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(value > 0 && value <= 1000)) {
    return base::fail(ErrorCode::kInvalidArgument,
                      fmt::format("{} needs a number above 0, not '{}'", name, text));
  }
  return value;
}

Result<Options> parse(const std::vector<std::string>& arguments) {
  Options options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    const bool valued = word == "--pairs" || word == "--seconds" || word == "--json";
    const std::string value = valued && i + 1 < arguments.size() ? arguments[++i] : "";
    if (word == "--list") {
      options.list = true;
    } else if (word == "--help" || word == "-h") {
      options.help = true;
    } else if (word == "--quick") {
      options.pairs = 3;
      options.seconds = 1;
    } else if (word == "--json" && !value.empty()) {
      options.json_file = value;
    } else if (valued) {
      const auto number = positive(word, value);
      if (!number) return tl::unexpected(number.error());
      if (word == "--seconds") options.seconds = *number;
      if (word == "--pairs")
        options.pairs = std::max<std::size_t>(1, static_cast<std::size_t>(*number));
    } else if (const PacketCase* found = find_packet_case(word)) {
      options.cases.push_back(found);
    } else {
      return base::fail(
          ErrorCode::kInvalidArgument,
          fmt::format("there is no case or option '{}'; --list shows the cases", word));
    }
  }
  if (options.cases.empty()) {
    for (const PacketCase& one : packet_cases()) options.cases.push_back(&one);
  }
  return options;
}

/// The rw-packet programs lie beside this one, or where they are installed.
std::string find_programs() {
  std::error_code ignored;
  const auto own = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path().string();
  const std::string installed = own + "/../libexec/ringway";
  return ::access((own + "/rw-packet").c_str(), X_OK) == 0 ? own : installed;
}

Command command_of(const Options& options, const char* program, const char* arguments) {
  Command command;
  command.argv = {options.programs + "/" + program};
  std::istringstream words(arguments);
  for (std::string word; words >> word;) command.argv.push_back(word);
  // Both sides pin themselves to the same cores, and not at all if there is only one.
  const bool two = std::thread::hardware_concurrency() >= 2;
  command.argv.insert(command.argv.end(), {"--seconds", fmt::format("{}", options.seconds), "--cpu",
                                           two ? "0" : "-1", "--other-cpu", two ? "1" : "-1"});
  return command;
}

Measured measure(const Options& options, const Command& command) {
  Measured measured;
  const CpuTimes before = read_cpu_times();
  const base::Instant start = now();
  auto process = Process::start(command);
  if (!process) return {process.error().what, 0, 0, 0};
  const auto limit =
      base::Duration::milliseconds(static_cast<std::int64_t>(options.seconds * 1000) + 20'000);
  const auto exit = process->wait(limit);
  const double passed = static_cast<double>((now() - start).ns) / 1e9;
  measured.steal_percent = steal_percent(before, read_cpu_times());
  if (!exit) return {exit.error().what, 0, 0, measured.steal_percent};
  if (exit->status != 0) return {process->last_words(), 0, 0, measured.steal_percent};
  const auto values = parse_plain(process->output());
  if (!values || values->count("mpps") == 0) return {"it printed no mpps", 0, 0, 0};
  measured.mpps = values->at("mpps");
  measured.cores = exit->cpu_seconds / passed;
  return measured;
}

std::string told(const Measured& one) {
  return one.failure.empty() ? fmt::format("{:.2f} Mpps", one.mpps) : "failed: " + one.failure;
}

PacketResult run_case(const PacketCase& one, const Options& options) {
  PacketResult result;
  result.of = &one;
  if (::access((options.programs + "/rw-packet-dpdk").c_str(), X_OK) != 0) {
    result.skipped = "rw-packet-dpdk was not built: libdpdk-dev is not installed";
    return result;
  }
  for (std::size_t i = 0; i < options.pairs && !interrupted(); ++i) {
    result.peer.push_back(measure(options, command_of(options, "rw-packet-dpdk", one.peer)));
    fmt::print(stderr, "    pair {}/{}: {} {}\n", i + 1, options.pairs, one.peer_name,
               told(result.peer.back()));
    result.ours.push_back(measure(options, command_of(options, "rw-packet", one.ours)));
    fmt::print(stderr, "    pair {}/{}: Ringway {}\n", i + 1, options.pairs,
               told(result.ours.back()));
    const bool hopeless =
        i >= 1 && (!result.peer.back().failure.empty() || !result.ours.back().failure.empty());
    if (hopeless) break;
  }
  return result;
}

std::optional<double> middle(const std::vector<Measured>& runs, double Measured::*value) {
  std::vector<double> values;
  for (const Measured& run : runs) {
    if (run.failure.empty()) values.push_back(run.*value);
  }
  return median(std::move(values));
}

double worst_steal(const PacketResult& result) {
  double worst = 0;
  for (const auto* runs : {&result.ours, &result.peer}) {
    for (const Measured& run : *runs) worst = std::max(worst, run.steal_percent);
  }
  return worst;
}

std::string first_failure(const PacketResult& result) {
  for (const auto* runs : {&result.peer, &result.ours}) {
    for (const Measured& run : *runs) {
      if (!run.failure.empty()) {
        return fmt::format("{}: {}", runs == &result.ours ? "Ringway" : result.of->peer_name,
                           run.failure);
      }
    }
  }
  return {};
}

std::string row(const PacketResult& result) {
  const PacketCase& one = *result.of;
  if (!result.skipped.empty()) return fmt::format("{:<10} skipped: {}\n", one.name, result.skipped);
  const auto peer = middle(result.peer, &Measured::mpps);
  const auto ours = middle(result.ours, &Measured::mpps);
  const auto ratio = improvement(peer, ours, true);
  const auto number = [](std::optional<double> value) {
    return value ? fmt::format("{:.2f}", *value) : std::string("-");
  };
  auto text = fmt::format("{:<10} {:<23} {:>8} {:>8} {:>6}x {:>5}x {:>7} {:>7} {:>6.1f}  {}\n",
                          one.name, one.peer_name, number(peer), number(ours), number(ratio),
                          one.target, number(middle(result.peer, &Measured::cores)),
                          number(middle(result.ours, &Measured::cores)), worst_steal(result),
                          !ratio                 ? ""
                          : *ratio >= one.target ? "met"
                                                 : "missed");
  const std::string failure = first_failure(result);
  return failure.empty() ? text : text + "           " + failure + "\n";
}

std::string table(const std::vector<PacketResult>& results) {
  auto text =
      fmt::format("{:<10} {:<23} {:>8} {:>8} {:>7} {:>6} {:>7} {:>7} {:>6}\n", "case", "peer",
                  "peer", "Ringway", "ratio", "target", "cores P", "cores R", "steal%");
  for (const PacketResult& result : results) text += row(result);
  return text +
         "In million frames a second, medians. cores: CPU seconds a second of all of a side, "
         "its start included.\n";
}

Json runs_json(const std::vector<Measured>& runs) {
  Json all = Json::array();
  for (const Measured& run : runs) {
    Json one;
    if (!run.failure.empty()) one["failure"] = run.failure;
    one["mpps"] = run.mpps;
    one["cores"] = run.cores;
    one["steal_percent"] = run.steal_percent;
    all.push_back(one);
  }
  return all;
}

std::string json(const std::vector<PacketResult>& results, const Options& options) {
  Json object;
  object["machine"] = {{"cpu", cpu_model()}, {"kernel", kernel_release()}};
  object["pairs"] = options.pairs;
  object["seconds"] = options.seconds;
  object["cases"] = Json::array();
  for (const PacketResult& result : results) {
    Json one{{"name", result.of->name},
             {"title", result.of->title},
             {"target", result.of->target},
             {"peer", result.of->peer_name}};
    if (!result.skipped.empty()) one["skipped"] = result.skipped;
    one["peer_runs"] = runs_json(result.peer);
    one["ringway_runs"] = runs_json(result.ours);
    const auto ratio = improvement(middle(result.peer, &Measured::mpps),
                                   middle(result.ours, &Measured::mpps), true);
    one["ratio"] = ratio ? Json(*ratio) : Json(nullptr);
    object["cases"].push_back(one);
  }
  return object.dump(2) + "\n";
}

int run(const Options& options) {
  start_sweeper();
  catch_interrupts();
  std::vector<PacketResult> results;
  bool sound = true;
  for (std::size_t i = 0; i < options.cases.size() && !interrupted(); ++i) {
    const PacketCase& one = *options.cases[i];
    fmt::print(stderr, "[{}/{}] {}: {}\n", i + 1, options.cases.size(), one.name, one.title);
    results.push_back(run_case(one, options));
    sound &= first_failure(results.back()).empty();
  }
  if (options.json_file != "-") fmt::print("{}", table(results));
  if (options.json_file == "-") {
    fmt::print("{}", json(results, options));
  } else if (!options.json_file.empty()) {
    std::ofstream file(options.json_file);
    file << json(results, options) << std::flush;
    sound &= file.good();
  }
  return sound && !interrupted() ? 0 : 1;
}

}  // namespace

int packet_main(const std::vector<std::string>& arguments) {
  auto options = parse(arguments);
  if (!options) {
    fmt::print(stderr, "ringway bench packet: {}\n", options.error().what);
    return 2;
  }
  if (options->help) {
    fmt::print("{}", kUsage);
    return 0;
  }
  if (options->list) {
    for (const PacketCase& one : packet_cases()) fmt::print("{:<12} {}\n", one.name, one.title);
    return 0;
  }
  options->programs = find_programs();
  return run(*options);
}

}  // namespace ringway::bench
