#include "cli/listing.h"

#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "steering/table.h"

namespace ringway::cli {

using steering::text_of;

namespace {
std::string subnet4(const steering::Network& network) {
  return to_string(base::Prefix{network.prefix4, network.prefix4_length});
}
std::string subnet6(const steering::Network& network) {
  return to_string(base::Prefix{network.prefix6, network.prefix6_length});
}
}  // namespace

nlohmann::json networks_json(const std::vector<control::proto::NetworkInfo>& networks) {
  auto all = nlohmann::json::array();
  for (const auto& info : networks) {
    all.push_back({{"name", text_of(info.network.name)},
                   {"ipv4", subnet4(info.network)},
                   {"ipv6", subnet6(info.network)},
                   {"persistent", info.network.persistent != 0},
                   {"hosts", info.hosts},
                   {"programs", info.clients},
                   {"stacks", info.stacks},
                   {"links", info.links}});
  }
  return all;
}

std::string networks_table(const std::vector<control::proto::NetworkInfo>& networks) {
  std::vector<std::vector<std::string>> rows{
      {"NETWORK", "IPV4", "IPV6", "HOSTS", "PROGRAMS", "STACKS", "LINKS", "KEPT"}};
  for (const auto& info : networks) {
    rows.push_back({std::string(text_of(info.network.name)), subnet4(info.network),
                    subnet6(info.network), std::to_string(info.hosts), std::to_string(info.clients),
                    std::to_string(info.stacks), std::to_string(info.links),
                    info.network.persistent != 0 ? "yes" : "no"});
  }
  return format_table(rows);
}

}  // namespace ringway::cli
