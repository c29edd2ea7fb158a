#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/address.h"
#include "base/result.h"
#include "port/spec.h"

namespace ringway::driver {

/// What a memif port can be told.
inline constexpr std::array kMemifOptions{
    port::SpecOption{"role", port::OptionKind::kText, 0, 0, 0,
                     "slave (offers its memory, the default) or master (takes the peer's)"},
    port::SpecOption{"id", port::OptionKind::kCount, 0, 0, UINT32_MAX,
                     "of the interface on its socket"},
    port::SpecOption{"secret", port::OptionKind::kText, 0, 0, 0, "up to 24 characters"},
    port::SpecOption{"ring", port::OptionKind::kCount, 1024, 8, 16384,
                     "descriptors of a ring, a power of two from 8 to 16k"},
    port::SpecOption{"mac", port::OptionKind::kText, 0, 0, 0, "Ethernet address of this end"},
    port::SpecOption{"mtu", port::OptionKind::kCount, 1500, 576, 65521,
                     "largest IP packet, 576 to 65521"},
    port::SpecOption{
        "zerocopy", port::OptionKind::kFlag, 0, 0, 1,
        "as slave: give the peer the frame pool itself; only to a peer that is trusted "
        "with it"},
};

/// A memif as a person asks for it: "memif:/run/vpp/memif.sock,id=1,role=slave".
struct MemifOptions {
  std::string path;  ///< of the socket; one that starts with '@' is abstract
  bool master = false;
  std::uint32_t id = 0;
  std::string secret;
  std::uint32_t ring = 1024;
  std::optional<base::MacAddress> mac;
  std::uint16_t mtu = 1500;
  bool zero_copy = false;

  static base::Result<MemifOptions> parse(const port::Spec& spec);
};

}  // namespace ringway::driver
