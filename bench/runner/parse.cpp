#include "bench/runner/parse.h"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

namespace ringway::bench {
namespace {

using base::ErrorCode;
using base::fail;

/// The text after `label`, without leading spaces; empty if it is not there.
std::string after(const std::string& text, const std::string& label) {
  const std::size_t found = text.find(label);
  if (found == std::string::npos) return {};
  const std::size_t start = text.find_first_not_of(" \t", found + label.size());
  return start == std::string::npos ? std::string()
                                    : text.substr(start, text.find('\n', start) - start);
}

double number(const std::string& text) { return std::strtod(text.c_str(), nullptr); }

/// wrk prints 812.00us, 1.20ms or 2.00s.
double microseconds(const std::string& text) {
  char* unit = nullptr;
  const double value = std::strtod(text.c_str(), &unit);
  if (*unit == 'm') return value * 1e3;
  if (*unit == 's') return value * 1e6;
  return value;
}

std::vector<double> csv_numbers(std::string line) {
  line.erase(std::remove(line.begin(), line.end(), '"'), line.end());
  std::istringstream words(line);
  std::vector<double> numbers;
  std::string word;
  std::getline(words, word, ',');
  while (std::getline(words, word, ',')) numbers.push_back(number(word));
  return numbers;
}

}  // namespace

base::Result<Values> parse_plain(const std::string& output) {
  std::istringstream lines(output);
  nlohmann::json object;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.front() != '{') continue;
    nlohmann::json parsed = nlohmann::json::parse(line, nullptr, false);
    if (parsed.is_object()) object = std::move(parsed);
  }
  if (!object.is_object()) return fail(ErrorCode::kCorrupt, "the program printed no result");
  Values values;
  for (const auto& [name, value] : object.items()) {
    if (value.is_number()) values[name] = value.get<double>();
  }
  return values;
}

base::Result<Values> parse_redis_benchmark(const std::string& output) {
  std::istringstream lines(output);
  double seconds_per_request = 0;
  double p50_sum = 0;
  double tests = 0;
  Values values;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind('"', 0) != 0 || line.rfind("\"test\"", 0) == 0) continue;
    // "SET","rps","avg","min","p50","p95","p99","max", times in ms
    const std::vector<double> numbers = csv_numbers(line);
    if (numbers.size() < 7 || numbers[0] <= 0) continue;
    tests += 1;
    seconds_per_request += 1 / numbers[0];
    p50_sum += numbers[3] * 1e3;
    values["p99_us"] = std::max(values["p99_us"], numbers[5] * 1e3);
  }
  if (tests < 1) return fail(ErrorCode::kCorrupt, "redis-benchmark printed no result");
  values["tests"] = tests;
  values["rate"] = tests / seconds_per_request;
  values["p50_us"] = p50_sum / tests;
  return values;
}

base::Result<Values> parse_wrk(const std::string& output) {
  Values values;
  values["rate"] = number(after(output, "Requests/sec:"));
  if (values["rate"] <= 0) return fail(ErrorCode::kCorrupt, "wrk printed no rate");
  for (const char* trouble : {"Socket errors:", "Non-2xx or 3xx responses:"}) {
    const std::string found = after(output, trouble);
    if (!found.empty()) return fail(ErrorCode::kCorrupt, std::string(trouble) + " " + found);
  }
  values["p50_us"] = microseconds(after(output, "50%"));
  values["p99_us"] = microseconds(after(output, "99%"));
  const std::size_t requests = output.find(" requests in ");
  if (requests != std::string::npos) {
    const std::size_t start = output.rfind('\n', requests) + 1;
    values["requests"] = number(output.substr(start));
  }
  return values;
}

}  // namespace ringway::bench
