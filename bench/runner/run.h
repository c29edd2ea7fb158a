#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/runner/cases.h"
#include "bench/runner/stats.h"

namespace ringway::bench {

struct RunnerOptions {
  std::string programs;  // folder of the rw-* programs
  std::string ringway;   // the ringway command; empty: there is no Ringway side
  std::size_t pairs = 5;
  double seconds = 2;
  std::uint64_t redis_requests = 200'000;
  int server_cpu = 0;
  int client_cpu = 1;
};

using Progress = std::function<void(const std::string&)>;

/// What came of one case.
struct CaseResult {
  const Case* of = nullptr;
  std::string skipped;     // why it did not run; empty: it did
  std::string congestion;  // of the kernel side
  std::vector<Pair> pairs;
  bool has_ringway = false;
  Comparison comparison;
};

/// Empty if `ringway run` works here, else one line why it does not. Also starts the daemon, so
/// that it is not pinned with the first server.
std::string why_no_ringway(const RunnerOptions& options);

/// All pairs of one case: kernel, Ringway, kernel, Ringway, ... `progress` gets one line per step.
CaseResult run_case(const Case& one, const RunnerOptions& options, const Progress& progress);

}  // namespace ringway::bench
