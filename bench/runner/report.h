#pragma once

#include <string>
#include <vector>

#include "bench/runner/run.h"

namespace ringway::bench {

/// For people: one line per case; `wide` adds columns beyond a usual terminal.
std::string table(const std::vector<CaseResult>& results, bool wide);

/// For programs (bench/draw.py): everything that was measured.
std::string json(const std::vector<CaseResult>& results, const RunnerOptions& options,
                 const std::string& why_no_ringway);

}  // namespace ringway::bench
