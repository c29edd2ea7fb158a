#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace ringway::cli {

/// One thing that a person can set. This table makes the help of `ringway run`, the environment of
/// the program that it starts, `ringway options` and docs/options.md.
struct OptionEntry {
  std::string_view name;  // of `ringway run`, without --; empty: environment only
  std::string_view environment;
  std::string_view value;     // what stands for the value in the help
  std::string_view unit;      // empty: none
  std::string_view fallback;  // what holds if it is not given
  std::int64_t least;         // of a number; least == most: it is none
  std::int64_t most;
  std::string_view doc;
};

inline constexpr std::array kOptions{
    OptionEntry{"network", "RINGWAY_NETWORK", "NAME", "", "default", 0, 0, "the network to join"},
    OptionEntry{"host", "RINGWAY_HOST", "NAME", "", "the network's common host", 0, 0,
                "a host (name and address) of its own"},
    OptionEntry{"port", "RINGWAY_PORT", "SPEC", "", "none", 0, 0,
                "an external port, as in xdp:eth1 (shared with the kernel) or "
                "tap:rw0,ip=10.0.0.2/24"},
    OptionEntry{"only", "RINGWAY_ONLY", "LIST", "", "everything", 0, 0,
                "take only this traffic: tcp, udp, :PORT, tcp:PORT, udp:PORT, ADDR/LEN, separated "
                "by commas; the rest is the kernel's"},
    OptionEntry{"except", "RINGWAY_EXCEPT", "LIST", "", "nothing", 0, 0,
                "take all but this traffic; stronger than only"},
    OptionEntry{"spin", "RINGWAY_SPIN_US", "US", "microseconds", "50", 0, 1'000'000,
                "how long to poll before sleeping"},
    OptionEntry{"", "RINGWAY_DIR", "DIR", "", "$XDG_RUNTIME_DIR/ringway, else /tmp/ringway-UID", 0,
                0,
                "the runtime directory: socket, tables and log of ringwayd; mode 0700, one's own"},
    OptionEntry{"", "RINGWAYD", "FILE", "", "beside the program or library", 0, 0,
                "the daemon to start on demand"},
    OptionEntry{"", "RINGWAY_NETD", "FILE", "", "/run/ringway/netd-NAMESPACE.sock", 0, 0,
                "where ringway-netd listens, which shares devices with programs"},
    OptionEntry{"", "RINGWAY_REAPER", "FILE", "", "ringway-reaper beside ringwayd", 0, 0,
                "what ringwayd starts for the connections of a program that died"},
};

/// docs/options.md as it is to be.
std::string options_markdown();

}  // namespace ringway::cli
