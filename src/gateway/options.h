#pragma once

#include <optional>
#include <span>
#include <string>

#include "base/address.h"
#include "base/result.h"

namespace ringway::gateway {

/// What a gateway is told: which network, through which port.
struct Options {
  std::string network = "default";
  std::string port;                ///< an AttachSpec; a running gateway is asked to take it
  std::string detach;              ///< ask the running one to close this port
  bool list = false;               ///< ask the running one what it is attached to
  std::string tap = "rw%d";        ///< of the kernel's interface; "%d" lets the kernel number it
  std::optional<base::Prefix> ip;  ///< of the kernel's interface; default: .1 of the subnet
  bool foreground = false;         ///< stay the caller's child instead of going to the background
  bool help = false;

  /// `port`, or what `tap` and `ip` come to.
  std::string spec() const;
};

/// Reads `--network NAME --port SPEC --detach PORT --list --tap NAME --ip ADDRESS/LENGTH
/// --foreground --help`, without the program's name. An address without a length gets length 0: the
/// network's own is meant.
base::Result<Options> parse_options(std::span<const char* const> arguments);

extern const char* const kUsage;

}  // namespace ringway::gateway
