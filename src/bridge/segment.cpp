#include "bridge/segment.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "wire/checksum.h"
#include "wire/tcp.h"
#include "wire/udp.h"

namespace ringway::bridge {

void complete_checksum(std::span<std::byte> frame, const wire::PacketView& view) {
  if (view.is_fragment || view.end > frame.size()) return;
  const auto l4 = frame.subspan(view.l4_offset, view.l4_length());
  if (view.protocol == wire::Protocol::kTcp) wire::finish_tcp(l4, view.src, view.dst);
  if (view.protocol == wire::Protocol::kUdp) wire::finish_udp(l4, view.src, view.dst);
}

std::uint32_t TcpCutter::next_length() const {
  return view_.payload_offset + std::min<std::uint32_t>(gso_size_, view_.payload_length() - at_);
}

void TcpCutter::write(std::span<std::byte> out) {
  const auto payload = static_cast<std::uint32_t>(out.size() - view_.payload_offset);
  const bool first = at_ == 0;
  const bool last = at_ + payload >= view_.payload_length();
  std::memcpy(out.data(), frame_.data(), view_.payload_offset);
  std::memcpy(out.data() + view_.payload_offset, frame_.data() + view_.payload_offset + at_,
              payload);
  std::byte* l3 = out.data() + view_.l3_offset;
  std::byte* l4 = out.data() + view_.l4_offset;
  const auto l4_bytes = static_cast<std::uint16_t>(out.size() - view_.l4_offset);
  if (view_.is_v4()) {
    const std::size_t header = view_.l4_offset - std::size_t{view_.l3_offset};
    base::store_be16(l3 + 2, static_cast<std::uint16_t>(header + l4_bytes));
    base::store_be16(l3 + 4, static_cast<std::uint16_t>(base::load_be16(l3 + 4) + count_));
    base::store_be16(l3 + 10, 0);
    base::store_be16(l3 + 10, wire::internet_checksum({l3, header}));
  } else {
    const std::size_t extensions = view_.l4_offset - std::size_t{view_.l3_offset} - 40;
    base::store_be16(l3 + 4, static_cast<std::uint16_t>(extensions + l4_bytes));
  }
  base::store_be32(l4 + 4, base::load_be32(l4 + 4) + at_);
  std::uint8_t flags = base::load_u8(l4 + 13);
  constexpr std::uint8_t kCwr = 0x80;  // RFC 3168, 6.1.2: once only
  if (!last)
    flags = static_cast<std::uint8_t>(flags & ~(wire::TcpFlags::kFin | wire::TcpFlags::kPsh));
  if (!first) flags = static_cast<std::uint8_t>(flags & ~kCwr);
  base::store_u8(l4 + 13, flags);
  wire::finish_tcp({l4, l4_bytes}, view_.src, view_.dst);
  at_ += payload;
  ++count_;
  begun_ = true;
}

}  // namespace ringway::bridge
