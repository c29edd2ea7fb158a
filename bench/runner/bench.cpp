#include "bench/runner/bench.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "bench/runner/machine.h"
#include "bench/runner/options.h"
#include "bench/runner/packet.h"
#include "bench/runner/process.h"
#include "bench/runner/report.h"
#include "bench/runner/sweeper.h"

namespace ringway::bench {
namespace {

std::string own_folder() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
}

int list_cases() {
  for (const Case& one : all_cases()) fmt::print("{:<18} {}\n", one.name, one.title);
  return 0;
}

bool write_file(const std::string& path, const std::string& text) {
  if (path == "-") return std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  std::ofstream file(path);
  file << text << std::flush;
  return file.good();
}

bool all_ran(const std::vector<CaseResult>& results) {
  for (const CaseResult& result : results) {
    if (result.comparison.kernel.failures != 0) return false;
    if (result.has_ringway && result.comparison.ringway.failures != 0) return false;
  }
  return true;
}

std::vector<CaseResult> run_all(const Options& options) {
  std::vector<CaseResult> results;
  for (std::size_t i = 0; i < options.cases.size() && !interrupted(); ++i) {
    const Case& one = *options.cases[i];
    fmt::print(stderr, "[{}/{}] {}: {}\n", i + 1, options.cases.size(), one.name, one.title);
    const Progress progress = [](const std::string& line) { fmt::print(stderr, "    {}\n", line); };
    results.push_back(run_case(one, options.runner, progress));
    if (!results.back().skipped.empty()) progress("skipped: " + results.back().skipped);
  }
  return results;
}

/// A Ringway of its own: no port of a running program is in the way, no daemon of another version
/// answers. ringwayd ends by itself when its programs are gone. A directory that the user has set
/// is left.
void use_own_ringway(const TemporaryFolder& folder) {
  setenv("RINGWAY_DIR", (folder.path() + "/network").c_str(), 0);
}

int run(Options& options) {
  start_sweeper();
  catch_interrupts();
  const base::Result<TemporaryFolder> folder = TemporaryFolder::make();
  if (!folder) {
    fmt::print(stderr, "ringway bench: {}\n", folder.error().what);
    return 1;
  }
  use_own_ringway(*folder);
  std::string missing;
  if (options.kernel_only) {
    missing = "--kernel-only was given";
  } else {
    missing = why_no_ringway(options.runner);
  }
  if (!missing.empty()) {
    fmt::print(stderr, "The Ringway side is not available, only the kernel is measured: {}\n",
               missing);
    options.runner.ringway.clear();
  }
  const std::vector<CaseResult> results = run_all(options);
  const std::string report = table(results, options.wide);
  std::fflush(stderr);
  if (options.json_file != "-") fmt::print("{}", report);
  if (!options.json_file.empty() &&
      !write_file(options.json_file, json(results, options.runner, missing))) {
    fmt::print(stderr, "cannot write {}\n", options.json_file);
    return 1;
  }
  if (interrupted())
    fmt::print(stderr, "interrupted: the table holds what was measured until then\n");
  return interrupted() || !all_ran(results) ? 1 : 0;
}

}  // namespace

int bench_main(const std::vector<std::string>& arguments) {
  if (!arguments.empty() && arguments[0] == "packet") {
    return packet_main({arguments.begin() + 1, arguments.end()});
  }
  base::Result<Options> options = parse_options(arguments, own_folder());
  if (!options) {
    fmt::print(stderr, "ringway bench: {}\n", options.error().what);
    return 2;
  }
  if (options->help) {
    fmt::print("{}", usage());
    return 0;
  }
  return options->list ? list_cases() : run(*options);
}

}  // namespace ringway::bench
