#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace ringway::cli {

/// "ringway NAME: what" on stderr; returns 1.
int complain(const std::string& command, const base::Error& error);
int complain(const std::string& command, const std::string& what);

/// Columns as wide as their widest cell, two blanks apart, the first row the headings.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

/// "2 h 5 min", "12 s".
std::string format_seconds(std::uint64_t seconds);

}  // namespace ringway::cli
