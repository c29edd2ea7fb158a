#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "bench/runner/run.h"

namespace ringway::bench {

struct Options {
  RunnerOptions runner;
  std::vector<const Case*> cases;
  std::string json_file;
  bool list = false;
  bool help = false;
  bool kernel_only = false;
  bool wide = false;
};

/// `own_folder` is where the running program lies: the rw-* programs and `ringway` are looked for
/// from there.
base::Result<Options> parse_options(const std::vector<std::string>& arguments,
                                    const std::string& own_folder);

std::string usage();

}  // namespace ringway::bench
