#include "bench/runner/options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <thread>

namespace ringway::bench {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<double> number(const std::string& name, const std::string& text, double least, double most) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(value >= least && value <= most)) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{} needs a number from {} to {}, not '{}'", name, least, most, text));
  }
  return value;
}

Result<void> add_cases(Options& options, const std::string& names) {
  std::istringstream words(names);
  for (std::string name; std::getline(words, name, ',');) {
    const Case* found = find_case(name);
    if (found == nullptr) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("there is no case '{}'; --list shows them", name));
    }
    options.cases.push_back(found);
  }
  return {};
}

/// Options with a value; sets `known` to false for any other word.
Result<void> take_value(Options& options, const std::string& name, const std::string& value,
                        bool& known) {
  RunnerOptions& runner = options.runner;
  Result<double> parsed = 0;
  if (name == "--cases") return add_cases(options, value);
  if (name == "--json") {
    options.json_file = value;
  } else if (name == "--programs") {
    runner.programs = value;
  } else if (name == "--ringway") {
    runner.ringway = value;
  } else if (name == "--pairs") {
    if ((parsed = number(name, value, 1, 1000))) runner.pairs = static_cast<std::size_t>(*parsed);
  } else if (name == "--seconds") {
    if ((parsed = number(name, value, 0.1, 3600))) runner.seconds = *parsed;
  } else if (name == "--redis-requests") {
    if ((parsed = number(name, value, 1000, 1e9))) {
      runner.redis_requests = static_cast<std::uint64_t>(*parsed);
    }
  } else if (name == "--server-cpu") {
    if ((parsed = number(name, value, -1, 1023))) runner.server_cpu = static_cast<int>(*parsed);
  } else if (name == "--client-cpu") {
    if ((parsed = number(name, value, -1, 1023))) runner.client_cpu = static_cast<int>(*parsed);
  } else {
    known = false;
  }
  if (!parsed) return tl::unexpected(parsed.error());
  return {};
}

bool take_flag(Options& options, const std::string& name) {
  if (name == "--list") {
    options.list = true;
  } else if (name == "--help" || name == "-h") {
    options.help = true;
  } else if (name == "--kernel-only") {
    options.kernel_only = true;
  } else if (name == "--wide") {
    options.wide = true;
  } else if (name == "--quick") {
    options.runner.pairs = 3;
    options.runner.seconds = 1;
    options.runner.redis_requests = 100'000;
  } else {
    return false;
  }
  return true;
}

bool executable(const std::string& path) { return access(path.c_str(), X_OK) == 0; }

void find_defaults(Options& options, const std::string& own_folder) {
  RunnerOptions& runner = options.runner;
  if (runner.programs.empty()) {
    const std::string installed = own_folder + "/../libexec/ringway";
    const bool beside = executable(own_folder + "/rw-pingpong");
    runner.programs = !beside && executable(installed + "/rw-pingpong") ? installed : own_folder;
  }
  if (runner.ringway.empty()) runner.ringway = own_folder + "/ringway";
  if (std::thread::hardware_concurrency() < 2) runner.client_cpu = 0;
  if (options.cases.empty()) {
    for (const Case& one : all_cases()) options.cases.push_back(&one);
  }
}

}  // namespace

Result<Options> parse_options(const std::vector<std::string>& arguments,
                              const std::string& own_folder) {
  Options options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (take_flag(options, word)) continue;
    Result<void> taken;
    bool known = true;
    if (word.rfind("--", 0) != 0) {
      taken = add_cases(options, word);
    } else {
      const bool has_value = i + 1 < arguments.size();
      taken = take_value(options, word, has_value ? arguments[i + 1] : "", known);
      if (known && !has_value) return fail(ErrorCode::kInvalidArgument, word + " needs a value");
      ++i;
    }
    if (!known) return fail(ErrorCode::kInvalidArgument, "unknown option " + word + "; see --help");
    if (!taken) return tl::unexpected(taken.error());
  }
  find_defaults(options, own_folder);
  return options;
}

std::string usage() {
  return "usage: ringway bench [CASE...] [options], or ringway bench packet (see its --help)\n"
         "Runs the same unmodified programs on the kernel's loopback and on Ringway, in "
         "alternation.\n\n"
         "  --list                 the cases\n"
         "  --cases A,B            only these (as well as naming them)\n"
         "  --quick                3 pairs of 1 s instead of 5 of 2 s; fewer redis requests\n"
         "  --pairs N              runs of each side\n"
         "  --seconds S            length of a run\n"
         "  --redis-requests N     requests of a redis-benchmark test (200000)\n"
         "  --json FILE            everything that was measured; bench/draw.py draws it\n"
         "  --wide                 more columns\n"
         "  --kernel-only          no Ringway side\n"
         "  --ringway PATH         the ringway command (beside this program)\n"
         "  --programs FOLDER      where the rw-* programs are (beside this program)\n"
         "  --server-cpu, --client-cpu N   cores to pin to (0 and 1); -1: not pinned\n";
}

}  // namespace ringway::bench
