#pragma once

#include <string>
#include <vector>

namespace ringway::bench {

/// The whole of `ringway bench`; `arguments` without the program's name. Prints to stdout (table)
/// and stderr (progress). Returns the exit status: 0 all cases ran, 1 a run failed or was
/// interrupted, 2 wrong arguments.
int bench_main(const std::vector<std::string>& arguments);

}  // namespace ringway::bench
