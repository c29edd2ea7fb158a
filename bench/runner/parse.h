#pragma once

#include <map>
#include <string>

#include "base/result.h"

namespace ringway::bench {

/// Figures of one run by name: rate, gbit_s, p50_us, p99_us, requests, cpu_percent, ...
using Values = std::map<std::string, double>;

/// The last line of JSON in the output of an rw-* program: all its numbers.
base::Result<Values> parse_plain(const std::string& output);

/// `redis-benchmark --csv`: rate is that of all requests together (harmonic mean), p50 the mean,
/// p99 the worst.
base::Result<Values> parse_redis_benchmark(const std::string& output);

/// `wrk --latency`. Fails on socket errors and on answers that are not 2xx or 3xx.
base::Result<Values> parse_wrk(const std::string& output);

}  // namespace ringway::bench
