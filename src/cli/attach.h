#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace ringway::cli {

/// What ringway-gateway is started with for `net attach NETWORK SPEC`, the program's own path
/// first. SPEC: tap:NAME[,ip=ADDRESS/LENGTH].
base::Result<std::vector<std::string>> gateway_command(const std::string& network,
                                                       const std::string& spec, bool foreground);

/// Becomes the network's gateway. Returns only if that failed.
int attach(const std::string& network, const std::string& spec, bool foreground);
/// Ends the network's gateway and waits until it has gone, 5 s at most.
int detach(const std::string& network);

}  // namespace ringway::cli
