#pragma once

#include <cstddef>
#include <span>

#include "base/address.h"
#include "port/tx_batch.h"
#include "wire/packet_view.h"

namespace ringway::gateway {

/// Answers a TCP segment for which there is no connection with RST (RFC 9293, 3.10.7.1). `view`
/// describes `frame`; `mac` is ours. False: it was a reset itself, or there is no room.
bool send_reset(std::span<const std::byte> frame, const wire::PacketView& view,
                const base::MacAddress& mac, port::TxBatch& out);

}  // namespace ringway::gateway
