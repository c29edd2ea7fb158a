#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace ringway::cli {

/// What ringway-gateway is started with for `net attach NETWORK SPEC`, the program's own path
/// first. SPEC: any port, with ip=ADDRESS/LENGTH, vlan=ID and storm=N besides its own options.
base::Result<std::vector<std::string>> gateway_command(const std::string& network,
                                                       const std::string& spec, bool foreground);

/// Becomes the network's gateway, or asks the running one for a further port. Returns only if that
/// failed.
int attach(const std::string& network, const std::string& spec, bool foreground);
/// Lets the gateway close one port, or tell its ports. Return only if that failed.
int detach_port(const std::string& network, const std::string& port);
int list_ports(const std::string& network);
/// Ends the network's gateway and waits until it has gone, 5 s at most.
int detach(const std::string& network);

}  // namespace ringway::cli
