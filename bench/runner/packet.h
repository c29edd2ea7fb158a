#pragma once

#include <string>
#include <vector>

namespace ringway::bench {

/// `ringway bench packet [CASE...] [--pairs N] [--seconds S] [--quick] [--list] [--json FILE]`: the
/// same work on Ringway's rings and ports and on another's, in turn. Returns the exit status.
int packet_main(const std::vector<std::string>& arguments);

}  // namespace ringway::bench
