#include "bench/runner/stats.h"

#include <fmt/format.h>

#include <algorithm>

namespace ringway::bench {
namespace {

bool is_quiet(const Pair& pair) {
  return pair.kernel.steal_percent < kStealLimitPercent &&
         pair.ringway.steal_percent < kStealLimitPercent;
}

std::optional<double> value_of(const Run& run, const std::string& name) {
  if (!run.ok()) return std::nullopt;
  const auto found = run.values.find(name);
  if (found == run.values.end()) return std::nullopt;
  return found->second;
}

std::optional<double> median_of(const std::vector<const Run*>& runs, const std::string& name) {
  std::vector<double> values;
  for (const Run* run : runs) {
    if (const auto value = value_of(*run, name)) values.push_back(*value);
  }
  return median(values);
}

Side summarize(const std::vector<const Run*>& runs, const std::vector<const Run*>& quiet_runs,
               const std::string& metric) {
  Side side;
  std::vector<double> server_cores;
  std::vector<double> client_cores;
  for (const Run* run : runs) {
    ++side.runs;
    if (!run->ok()) {
      if (side.failures++ == 0) side.first_failure = run->failure;
      continue;
    }
    server_cores.push_back(run->server_cores);
    client_cores.push_back(run->client_cores);
    side.steal_percent = std::max(side.steal_percent, run->steal_percent);
    side.foreign_cores = std::max(side.foreign_cores, run->foreign_cores);
  }
  side.value = median_of(runs, metric);
  side.p50_us = median_of(runs, "p50_us");
  side.p99_us = median_of(quiet_runs, "p99_us");
  side.requests_per_cpu_second = median_of(runs, "requests_per_cpu_second");
  side.server_cores = median(server_cores).value_or(0);
  side.client_cores = median(client_cores).value_or(0);
  return side;
}

}  // namespace

std::optional<double> median(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  if (values.size() % 2 == 1) return values[middle];
  return (values[middle - 1] + values[middle]) / 2;
}

std::string figure(std::optional<double> value) {
  if (!value) return "-";
  if (*value >= 10'000) return fmt::format("{:.1f}k", *value / 1000);
  if (*value >= 100) return fmt::format("{:.0f}", *value);
  if (*value >= 10) return fmt::format("{:.1f}", *value);
  if (*value >= 0.1) return fmt::format("{:.2f}", *value);
  return fmt::format("{:.4f}", *value);
}

std::optional<double> improvement(std::optional<double> kernel, std::optional<double> ringway,
                                  bool higher_is_better) {
  if (!kernel || !ringway || *kernel <= 0 || *ringway <= 0) return std::nullopt;
  return higher_is_better ? *ringway / *kernel : *kernel / *ringway;
}

Comparison compare(const std::vector<Pair>& pairs, const std::string& metric,
                   bool higher_is_better) {
  Comparison result;
  std::vector<const Run*> kernel;
  std::vector<const Run*> kernel_quiet;
  std::vector<const Run*> ringway;
  std::vector<const Run*> ringway_quiet;
  std::vector<double> ratios;
  for (const Pair& pair : pairs) {
    kernel.push_back(&pair.kernel);
    ringway.push_back(&pair.ringway);
    if (is_quiet(pair)) {
      ++result.quiet_pairs;
      kernel_quiet.push_back(&pair.kernel);
      ringway_quiet.push_back(&pair.ringway);
    }
    const auto ratio = improvement(value_of(pair.kernel, metric), value_of(pair.ringway, metric),
                                   higher_is_better);
    if (ratio) ratios.push_back(*ratio);
  }
  result.kernel = summarize(kernel, kernel_quiet, metric);
  result.ringway = summarize(ringway, ringway_quiet, metric);
  result.ratio = improvement(result.kernel.value, result.ringway.value, higher_is_better);
  result.pair_ratio = median(ratios);
  result.p99_ratio = improvement(result.kernel.p99_us, result.ringway.p99_us, false);
  return result;
}

}  // namespace ringway::bench
