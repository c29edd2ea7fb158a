#include "ip/counters.h"

#include <array>

namespace ringway::ip {

std::string_view name(Counter counter) {
  static constexpr std::array<std::string_view, Counters::kSize> kNames = {
      "delivered",
      "echo_replied",
      "error_received",
      "error_sent",
      "error_suppressed",
      "arp_received",
      "arp_replied",
      "nd_received",
      "nd_advertised",
      "solicited",
      "address_conflict",
      "neighbour_evicted",
      "fragment_received",
      "fragment_sent",
      "reassembled",
      "drop_not_for_us",
      "drop_martian",
      "drop_bad_arp",
      "drop_bad_nd",
      "drop_bad_icmp",
      "drop_unhandled_icmp",
      "drop_fragment_overlap",
      "drop_fragment_inconsistent",
      "drop_fragment_limit",
      "drop_fragment_timeout",
      "drop_unresolved",
      "drop_pending_full",
      "drop_no_room",
      "drop_no_source",
  };
  const auto at = static_cast<std::size_t>(counter);
  return at < kNames.size() ? kNames[at] : "unknown";
}

}  // namespace ringway::ip
