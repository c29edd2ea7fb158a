#include "gateway/reset.h"

#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"
#include "wire/tcp.h"

namespace ringway::gateway {
namespace {

wire::TcpHeader answer_to(const wire::TcpHeader& h, std::uint32_t payload_length) {
  wire::TcpHeader reset;
  reset.src_port = h.dst_port;
  reset.dst_port = h.src_port;
  if (h.flags.ack()) {
    reset.seq = h.ack;
    reset.flags = {wire::TcpFlags::kRst};
    return reset;
  }
  const auto syn = static_cast<std::uint32_t>((h.flags.bits & wire::TcpFlags::kSyn) != 0 ? 1 : 0);
  reset.ack = h.seq + (payload_length + syn + (h.flags.fin() ? 1U : 0U));
  reset.flags = {wire::TcpFlags::kRst | wire::TcpFlags::kAck};
  return reset;
}

std::byte* write_ip(std::byte* at, const wire::PacketView& view, std::uint16_t l4_length) {
  if (view.is_v4()) {
    wire::Ipv4Header h;
    h.src = view.dst;
    h.dst = view.src;
    h.total_length = static_cast<std::uint16_t>(wire::Ipv4Header::kSize + l4_length);
    h.dont_fragment = true;
    h.emit(at);
    return at + wire::Ipv4Header::kSize;
  }
  wire::Ipv6Header h;
  h.src = view.dst;
  h.dst = view.src;
  h.payload_length = l4_length;
  h.emit(at);
  return at + wire::Ipv6Header::kSize;
}

}  // namespace

bool send_reset(std::span<const std::byte> frame, const wire::PacketView& view,
                const base::MacAddress& mac, port::TxBatch& out) {
  const auto header = wire::TcpHeader::parse(frame.subspan(view.l4_offset, view.l4_length()));
  const auto ethernet = wire::EthernetHeader::parse(frame);
  if (!header || !ethernet || header->flags.rst()) return false;
  const wire::TcpHeader reset = answer_to(*header, view.l4_length() - header->header_length);
  constexpr auto kTcp = static_cast<std::uint16_t>(wire::TcpHeader::kSize);
  const std::size_t length = wire::EthernetHeader::kSize + kTcp +
                             (view.is_v4() ? wire::Ipv4Header::kSize : wire::Ipv6Header::kSize);
  const auto room = out.reserve(static_cast<std::uint32_t>(length));
  if (room.data == nullptr) return false;
  wire::EthernetHeader{ethernet->src, mac, view.ether_type}.emit(room.data);
  std::byte* l4 = write_ip(room.data + wire::EthernetHeader::kSize, view, kTcp);
  reset.emit(l4);
  wire::finish_tcp({l4, kTcp}, view.dst, view.src);
  out.commit(room, static_cast<std::uint32_t>(length), {});
  return true;
}

}  // namespace ringway::gateway
