#include "bench/runner/bench.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "bench/runner/options.h"
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

int run(Options& options) {
  start_sweeper();
  catch_interrupts();
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
