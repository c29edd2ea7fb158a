#include "bench/runner/report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <thread>

#include "bench/runner/machine.h"

namespace ringway::bench {
namespace {

using Json = nlohmann::ordered_json;

std::string times(std::optional<double> ratio) {
  if (!ratio) return "-";
  return *ratio < 10 ? fmt::format("{:.2f}x", *ratio) : fmt::format("{:.1f}x", *ratio);
}

/// "1.00+0.98": cores of the server and of the client.
std::string cores(const Side& side) {
  if (!side.value) return "-";
  return fmt::format("{:.2f}+{:.2f}", side.server_cores, side.client_cores);
}

std::string target_text(const Case& one) {
  switch (one.target.kind) {
    case TargetKind::kNone:
      return "-";
    case TargetKind::kLimit:
      return fmt::format("<{}{}", one.target.value, one.metric.unit);
    case TargetKind::kRatio:
    case TargetKind::kRatioAndP99:
      break;
  }
  return fmt::format("{}x", one.target.value);
}

/// "met", "missed", or nothing if there is nothing to judge.
std::string verdict(const CaseResult& result) {
  const Target& target = result.of->target;
  const Comparison& comparison = result.comparison;
  if (target.kind == TargetKind::kNone || !comparison.ringway.value) return "";
  if (target.kind == TargetKind::kLimit) {
    return *comparison.ringway.value < target.value ? "met" : "missed";
  }
  if (!comparison.ratio) return "";
  if (*comparison.ratio < target.value) return "missed";
  const bool p99_short = target.kind == TargetKind::kRatioAndP99 && comparison.p99_ratio &&
                         *comparison.p99_ratio < target.value;
  return p99_short ? "p99 missed" : "met";
}

double worst_steal(const Comparison& comparison) {
  return std::max(comparison.kernel.steal_percent, comparison.ringway.steal_percent);
}

double worst_foreign(const Comparison& comparison) {
  return std::max(comparison.kernel.foreign_cores, comparison.ringway.foreign_cores);
}

Json number(std::optional<double> value) { return value ? Json(*value) : Json(nullptr); }

Json run_json(const Run& run) {
  Json object;
  if (!run.ok()) object["failure"] = run.failure;
  for (const auto& [name, value] : run.values) object[name] = value;
  object["server_cores"] = run.server_cores;
  object["client_cores"] = run.client_cores;
  object["foreign_cores"] = run.foreign_cores;
  object["steal_percent"] = run.steal_percent;
  return object;
}

Json side_json(const Side& side) {
  Json object;
  object["runs"] = side.runs;
  object["failures"] = side.failures;
  if (side.failures != 0) object["first_failure"] = side.first_failure;
  object["value"] = number(side.value);
  object["p50_us"] = number(side.p50_us);
  object["p99_us"] = number(side.p99_us);
  object["requests_per_cpu_second"] = number(side.requests_per_cpu_second);
  object["server_cores"] = side.server_cores;
  object["client_cores"] = side.client_cores;
  object["steal_percent"] = side.steal_percent;
  object["foreign_cores"] = side.foreign_cores;
  return object;
}

Json case_json(const CaseResult& result) {
  const Case& one = *result.of;
  Json object;
  object["name"] = one.name;
  object["title"] = one.title;
  object["metric"] = one.metric.name;
  object["unit"] = one.metric.unit;
  object["higher_is_better"] = one.metric.higher_is_better;
  const bool has_target = one.target.kind != TargetKind::kNone;
  object["target"] = has_target ? Json(one.target.value) : Json(nullptr);
  object["target_is_limit"] = one.target.kind == TargetKind::kLimit;
  if (!result.skipped.empty()) {
    object["skipped"] = result.skipped;
    return object;
  }
  object["congestion_control"] = result.congestion;
  object["kernel"] = side_json(result.comparison.kernel);
  object["ringway"] = result.has_ringway ? side_json(result.comparison.ringway) : Json(nullptr);
  object["ratio"] = number(result.comparison.ratio);
  object["pair_ratio"] = number(result.comparison.pair_ratio);
  object["p99_ratio"] = number(result.comparison.p99_ratio);
  object["quiet_pairs"] = result.comparison.quiet_pairs;
  object["verdict"] = verdict(result);
  object["pairs"] = Json::array();
  for (const Pair& pair : result.pairs) {
    Json both;
    both["kernel"] = run_json(pair.kernel);
    if (result.has_ringway) both["ringway"] = run_json(pair.ringway);
    object["pairs"].push_back(both);
  }
  return object;
}

/// The verdict, and a warning if other programs had much of the machine meanwhile.
std::string remarks(const CaseResult& result) {
  constexpr double kBusyCores = 0.25;
  const char* busy = worst_foreign(result.comparison) > kBusyCores ? " (machine busy)" : "";
  return verdict(result) + busy;
}

struct Column {
  const char* heading;
  int width;
  bool wide_only;
  std::string (*text)(const CaseResult&);
};

using R = const CaseResult&;

constexpr Column kColumns[] = {
    {"unit", -6, false, [](R r) -> std::string { return r.of->metric.unit; }},
    {"kernel", 8, false, [](R r) { return figure(r.comparison.kernel.value); }},
    {"Ringway", 8, false, [](R r) { return figure(r.comparison.ringway.value); }},
    {"ratio", 7, false, [](R r) { return times(r.comparison.ratio); }},
    {"pairs", 7, true, [](R r) { return times(r.comparison.pair_ratio); }},
    {"target", 6, false, [](R r) { return target_text(*r.of); }},
    {"p99 us K", 9, true, [](R r) { return figure(r.comparison.kernel.p99_us); }},
    {"p99 us R", 9, true, [](R r) { return figure(r.comparison.ringway.p99_us); }},
    {"p99", 7, false, [](R r) { return times(r.comparison.p99_ratio); }},
    {"cores K", 9, false, [](R r) { return cores(r.comparison.kernel); }},
    {"cores R", 9, false, [](R r) { return cores(r.comparison.ringway); }},
    {"r/cpu K", 8, false, [](R r) { return figure(r.comparison.kernel.requests_per_cpu_second); }},
    {"r/cpu R", 8, false, [](R r) { return figure(r.comparison.ringway.requests_per_cpu_second); }},
    {"steal%", 6, false, [](R r) { return fmt::format("{:.1f}", worst_steal(r.comparison)); }},
    {"other", 5, true, [](R r) { return fmt::format("{:.2f}", worst_foreign(r.comparison)); }},
    {"", -1, false, remarks},
};

std::string cell(const std::string& text, int width) {
  return width < 0 ? fmt::format(" {:<{}}", text, -width) : fmt::format(" {:>{}}", text, width);
}

std::string failures(const char* name, const Side& side) {
  if (side.failures == 0) return {};
  return fmt::format("{:18} {} failed {} of {}: {}\n", "", name, side.failures, side.runs,
                     side.first_failure);
}

std::string row(const CaseResult& result, bool wide) {
  std::string line = fmt::format("{:<17}", result.of->name);
  if (!result.skipped.empty()) return line + " skipped: " + result.skipped + "\n";
  for (const Column& column : kColumns) {
    if (wide || !column.wide_only) line += cell(column.text(result), column.width);
  }
  line += "\n" + failures("kernel", result.comparison.kernel);
  if (result.has_ringway) line += failures("Ringway", result.comparison.ringway);
  return line;
}

}  // namespace

std::string table(const std::vector<CaseResult>& results, bool wide) {
  std::string text = fmt::format("{:<17}", "case");
  for (const Column& column : kColumns) {
    if (wide || !column.wide_only) text += cell(column.heading, column.width);
  }
  text += "\n";
  for (const CaseResult& result : results) text += row(result, wide);
  text +=
      "K: kernel, R: Ringway. ratio: of the medians, above 1 Ringway is better; p99: the same for "
      "p99, from pairs\n"
      "with under 5 % steal. cores: server+client. r/cpu: requests per CPU second of both. steal%: "
      "the worst run.\n";
  if (wide) {
    text +=
        "pairs: median of the ratios of the pairs. other: cores that other programs used in the "
        "worst run.\n";
  }
  return text;
}

std::string json(const std::vector<CaseResult>& results, const RunnerOptions& options,
                 const std::string& why_no_ringway) {
  Json object;
  object["format"] = 1;
  object["date"] = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  object["machine"] = {{"cpu", cpu_model()},
                       {"cores", std::thread::hardware_concurrency()},
                       {"kernel", kernel_release()}};
  object["pairs"] = options.pairs;
  object["seconds"] = options.seconds;
  object["redis_requests"] = options.redis_requests;
  object["ringway_available"] = why_no_ringway.empty();
  if (!why_no_ringway.empty()) object["why_no_ringway"] = why_no_ringway;
  object["cases"] = Json::array();
  for (const CaseResult& result : results) object["cases"].push_back(case_json(result));
  return object.dump(2) + "\n";
}

}  // namespace ringway::bench
