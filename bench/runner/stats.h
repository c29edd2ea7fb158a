#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/runner/parse.h"

namespace ringway::bench {

/// One side of a pair: a server and a client from start to end.
struct Run {
  std::string failure;  // empty: it worked
  Values values;
  double server_cores = 0;  // CPU seconds per second while the client lived
  double client_cores = 0;
  double steal_percent = 0;
  double foreign_cores = 0;  // what other programs on the machine used meanwhile
  bool ok() const { return failure.empty(); }
};

struct Pair {
  Run kernel;
  Run ringway;
};

/// p99 figures from pairs with more steal than this say more about the host than about us.
constexpr double kStealLimitPercent = 5;

/// What the runs of one side come to: medians.
struct Side {
  std::size_t runs = 0;
  std::size_t failures = 0;
  std::string first_failure;
  std::optional<double> value;
  std::optional<double> p50_us;
  std::optional<double> p99_us;  // only runs of pairs with little steal
  std::optional<double> requests_per_cpu_second;
  double server_cores = 0;
  double client_cores = 0;
  double steal_percent = 0;  // the worst
  double foreign_cores = 0;  // the worst
};

struct Comparison {
  Side kernel;
  Side ringway;
  std::size_t quiet_pairs = 0;       // pairs with little steal on both sides
  std::optional<double> ratio;       // of the medians; above 1: Ringway is better
  std::optional<double> pair_ratio;  // median of the ratios of the pairs
  std::optional<double> p99_ratio;
};

std::optional<double> median(std::vector<double> values);

/// Short, for people: three digits or so, thousands as k; "-" for nothing.
std::string figure(std::optional<double> value);

/// How many times better `ringway` is than `kernel`.
std::optional<double> improvement(std::optional<double> kernel, std::optional<double> ringway,
                                  bool higher_is_better);

/// `metric` names the value that is compared.
Comparison compare(const std::vector<Pair>& pairs, const std::string& metric,
                   bool higher_is_better);

}  // namespace ringway::bench
