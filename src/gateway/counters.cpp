#include "gateway/counters.h"

#include <array>

namespace ringway::gateway {

std::string_view name(Count count) {
  static constexpr std::array<std::string_view, Counters::kSize> kNames{"to_tap",
                                                                        "to_stacks",
                                                                        "resets_sent",
                                                                        "links_up",
                                                                        "links_down",
                                                                        "drop_tap_parse",
                                                                        "drop_tap_not_for_us",
                                                                        "drop_tap_martian",
                                                                        "drop_nobody",
                                                                        "drop_no_link",
                                                                        "drop_link_full",
                                                                        "drop_link_parse",
                                                                        "drop_foreign_source",
                                                                        "drop_misdirected",
                                                                        "drop_forbidden",
                                                                        "drop_too_long",
                                                                        "drop_no_route",
                                                                        "drop_tap_full"};
  return kNames[static_cast<std::size_t>(count)];
}

}  // namespace ringway::gateway
