#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "control/proto/admin.h"

namespace ringway::cli {

/// Networks as JSON and as a table with headings.
nlohmann::json networks_json(const std::vector<control::proto::NetworkInfo>& networks);
std::string networks_table(const std::vector<control::proto::NetworkInfo>& networks);

}  // namespace ringway::cli
