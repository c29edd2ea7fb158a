#pragma once

#include <optional>
#include <span>

#include "base/address.h"
#include "gateway/counters.h"
#include "gateway/flow_table.h"
#include "steering/table.h"
#include "wire/packet_view.h"

namespace ringway::gateway {

/// What a frame from a stack may be: `refused` says why it may not leave. `key` is set if it is up
/// to the flow: a packet with ports, seen from the tap.
struct Outbound {
  std::optional<Count> refused;
  std::optional<FlowKey> key;
};

/// Looks at a parsed frame of a stack whose host has these addresses. Later fragments have no
/// ports: their address is all that can be checked.
Outbound check_outbound(const base::IpAddress& ipv4, const base::IpAddress& ipv6,
                        const steering::Table& table, std::span<const std::byte> frame,
                        const wire::PacketView& view);

}  // namespace ringway::gateway
