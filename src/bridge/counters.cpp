#include "bridge/bridge.h"

namespace ringway::bridge {

std::string_view name(Count count) {
  switch (count) {
    case Count::kForwarded:
      return "forwarded";
    case Count::kFlooded:
      return "flooded";
    case Count::kToHosts:
      return "to_hosts";
    case Count::kFromHosts:
      return "from_hosts";
    case Count::kDropStorm:
      return "drop_storm";
    case Count::kDropShort:
      return "drop_short";
    case Count::kDropChain:
      return "drop_chain";
    case Count::kDropOwn:
      return "drop_own";
    case Count::kDropVlan:
      return "drop_vlan";
    case Count::kDropTooLong:
      return "drop_too_long";
    case Count::kDropNoFrame:
      return "drop_no_frame";
    case Count::kDropFull:
      return "drop_full";
    case Count::kCount:
      break;
  }
  return "";
}

}  // namespace ringway::bridge
