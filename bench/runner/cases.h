#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/time.h"
#include "bench/runner/parse.h"
#include "bench/runner/process.h"

namespace ringway::bench {

enum class SideName { kKernel, kRingway };

/// How the kernel side gets its congestion control.
enum class Congestion { kNone, kOption, kSystem };

/// All that the command lines of one run depend on.
struct Setting {
  SideName side = SideName::kKernel;
  std::string programs;    // folder of the rw-* programs
  std::string folder;      // for files of the case
  std::string congestion;  // for Congestion::kOption; empty: leave it
  std::uint16_t port = 0;
  double seconds = 2;
  std::uint64_t redis_requests = 200'000;
};

/// What to start, without `ringway run --` in front.
struct Plan {
  std::vector<std::string> server;
  std::string ready_text;
  std::vector<std::string> probe;  // run until it exits with 0; may be empty
  std::vector<std::string> client;
  bool native = false;           // speaks to Ringway by itself: no shim in front
  double requests_per_test = 0;  // if the client does not print `requests`
};

/// The value that is compared.
struct Metric {
  const char* name;
  const char* unit;
  bool higher_is_better;
};

enum class TargetKind {
  kNone,
  kRatio,        // of the metric, at least
  kRatioAndP99,  // of the metric and of p99, at least
  kLimit,        // of the value itself, at most
};

struct Target {
  TargetKind kind;
  double value;
};

struct Case {
  const char* name;
  const char* title;
  Metric metric;
  Target target;
  Congestion congestion;
  std::uint16_t ports;  // how many consecutive ones it needs
  base::Result<Plan> (*plan)(const Setting&);
  base::Result<Values> (*parse)(const std::string& client_output);
  const char* programs;  // third-party programs that it needs, separated by spaces
};

std::span<const Case> all_cases();
const Case* find_case(const std::string& name);

}  // namespace ringway::bench
