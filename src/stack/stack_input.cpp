// From a frame to the protocol that it is for.

#include <cerrno>

#include "stack/stack.h"
#include "wire/packet_view.h"
#include "wire/tcp.h"

namespace ringway::stack {
namespace {

constexpr std::uint32_t kEthernet = 14;
constexpr std::uint32_t kPlainHeaders = kEthernet + 20 + 20;

/// IPv4 without options or fragments that carries TCP: nearly everything. Lengths are checked; the
/// rest of the packet's kinds go the long way.
bool is_plain_tcp4(const std::byte* frame, std::uint32_t length) {
  if (length < kPlainHeaders) return false;
  const bool unusual = (base::load_be16(frame + 12) ^ 0x0800) != 0 ||
                       base::load_u8(frame + 14) != 0x45 || base::load_u8(frame + 23) != 6 ||
                       (base::load_be16(frame + 20) & 0xbfff) != 0;
  if (unusual) return false;
  const std::uint32_t total = base::load_be16(frame + 16);
  return total >= 40 && total + kEthernet <= length;
}

}  // namespace

void Stack::input(std::uint16_t port, Received& frame, base::Instant now) {
  const bool plain = is_plain_tcp4(frame.data, frame.length) &&
                     tx_[port]->caps().rx_checksum_trusted &&
                     (frame.desc.flags & mem::kFrameMore) == 0;
  if (!plain) [[unlikely]] {
    input_slow(port, frame, now);
    return;
  }
  const std::byte* ip = frame.data + kEthernet;
  const std::byte* header = ip + 20;
  const L4 l4{header, kEthernet + 20, base::load_be16(ip + 2) - 20U};
  const std::uint32_t connection = tcp_.find_plain(ip + 12, header);
  if (connection != 0 && to_connection(port, frame, connection, l4, now)) [[likely]]
    return;
  const base::Endpoint remote{base::IpAddress::from_v4_bytes(ip + 12), base::load_be16(header)};
  const base::Endpoint local{base::IpAddress::from_v4_bytes(ip + 16), base::load_be16(header + 2)};
  to_listener(port, frame, local, remote, l4, now);
}

void Stack::input_slow(std::uint16_t port, Received& frame, base::Instant now) {
  if ((frame.desc.flags & mem::kFrameMore) != 0) {
    state_->counters.add(Count::kDropChain);
    return;
  }
  wire::PacketView view;
  const std::span<const std::byte> packet(frame.data, frame.length);
  const bool trusted =
      tx_[port]->caps().rx_checksum_trusted || (frame.desc.flags & mem::kFrameCsumOk) != 0;
  const auto drop = wire::parse_frame(packet, {.checksums_trusted = trusted}, view);
  if (drop != wire::ParseDrop::kNone) {
    state_->counters.add(Count::kDropParse);
    return;
  }
  if (ip_->is_plain(interface_of(port), view)) {
    deliver(port, frame, view, packet, now);
  } else {
    input_ip(port, frame, view, now);
  }
}

void Stack::input_ip(std::uint16_t port, Received& frame, wire::PacketView& view,
                     base::Instant now) {
  const auto verdict = ip_->input({.interface = interface_of(port),
                                   .frame = {frame.data, frame.length},
                                   .view = view,
                                   .reply = *tx_[port]},
                                  now);
  if (verdict.action == ip::Verdict::Action::kError) {
    icmp_error(verdict.error, now);
  } else if (verdict.action == ip::Verdict::Action::kDeliver) {
    if (verdict.frame.data() != frame.data)
      frame.frame = {};  // reassembled: not the frame that came
    deliver(port, frame, view, verdict.frame, now);
  }
}

void Stack::deliver(std::uint16_t port, Received& frame, const wire::PacketView& view,
                    std::span<const std::byte> packet, base::Instant now) {
  if (view.protocol == wire::Protocol::kUdp) {
    input_udp(port, frame, view, packet, now);
  } else if (view.protocol == wire::Protocol::kTcp) {
    const L4 l4{packet.data() + view.l4_offset, view.l4_offset, view.l4_length()};
    input_tcp(port, frame, {view.dst, view.dst_port}, {view.src, view.src_port}, l4, now);
  } else {
    state_->counters.add(Count::kDropProtocol);
    wire::PacketView copy = view;
    ip_->send_protocol_unreachable({interface_of(port), packet, copy, *tx_[port]}, now);
  }
}

void Stack::input_udp(std::uint16_t port, Received& frame, const wire::PacketView& view,
                      std::span<const std::byte> packet, base::Instant now) {
  if (port >= kFirstPort) learn_neighbour(port, frame, view.src);
  udp::Arrival arrival;
  arrival.data = packet.data() + view.l4_offset;
  arrival.length = view.l4_length();
  arrival.offset = frame.desc.offset + view.l4_offset;
  arrival.frame = frame.frame;
  arrival.must_copy = frame.must_copy || !frame.frame;
  arrival.to_many = view.dst.is_multicast();
  arrival.local = view.dst;
  arrival.remote = view.src;
  const auto outcome = udp_.input(arrival);
  frame.taken = arrival.taken;
  if (outcome != udp::Outcome::kNoSocket || arrival.to_many) return;
  wire::PacketView copy = view;
  ip_->send_port_unreachable({interface_of(port), packet, copy, *tx_[port]}, now);
}

void Stack::icmp_error(const ip::IcmpError& error, base::Instant now) {
  const wire::QuotedPacket& q = error.quoted;
  const base::Endpoint local{q.src, q.src_port};
  const base::Endpoint remote{q.dst, q.dst_port};
  int code = EHOSTUNREACH;
  if (error.kind == ip::IcmpError::Kind::kPortUnreachable) code = ECONNREFUSED;
  if (error.kind == ip::IcmpError::Kind::kProtocolUnreachable) code = ENOPROTOOPT;
  if (error.kind == ip::IcmpError::Kind::kTooBig) code = EMSGSIZE;
  if (q.protocol == wire::Protocol::kUdp) {
    if (error.kind == ip::IcmpError::Kind::kTooBig) ip_->learn_mtu(error, now);
    udp_.on_icmp_error(local, remote, code);
  } else if (q.protocol == wire::Protocol::kTcp) {
    const std::uint32_t connection = tcp_.find(local, remote);
    if (connection == 0) return;
    if (error.kind != ip::IcmpError::Kind::kTooBig) {
      tcp_.on_icmp_error(connection, base::SeqNum{q.tcp_seq}, code, now);
    } else if (ip_->learn_mtu(error, now)) {
      tcp_.on_path_mtu(connection, base::SeqNum{q.tcp_seq}, static_cast<std::uint16_t>(error.mtu),
                       now);
    }
  }
}

void Stack::input_tcp(std::uint16_t port, Received& frame, const base::Endpoint& local,
                      const base::Endpoint& remote, const L4& l4, base::Instant now) {
  const std::uint32_t connection = tcp_.find(local, remote);
  if (connection != 0 && to_connection(port, frame, connection, l4, now)) return;
  to_listener(port, frame, local, remote, l4, now);
}

tcp::Segment Stack::segment_of(const Received& frame, const L4& l4) {
  tcp::Segment segment;
  segment.data = l4.data;
  segment.length = l4.length;
  segment.offset = frame.desc.offset + l4.offset;
  segment.frame = frame.frame;
  segment.must_copy = frame.must_copy;
  return segment;
}

/// False: the connection gives way to a new one, if somebody listens.
bool Stack::to_connection(std::uint16_t port, Received& frame, std::uint32_t connection,
                          const L4& l4, base::Instant now) {
  // On a link everybody is who his link says: a peer cannot reach into the flows of others.
  if (path(tcp_.conn(connection).path).port != port) [[unlikely]] {
    state_->counters.add(Count::kDropForeignFlow);
    return true;
  }
  tcp::Segment segment = segment_of(frame, l4);
  const bool try_listener = tcp_.input(connection, segment, now);
  frame.taken = segment.taken;
  return !try_listener;
}

void Stack::to_listener(std::uint16_t port, Received& frame, const base::Endpoint& local,
                        const base::Endpoint& remote, const L4& l4, base::Instant now) {
  const tcp::Segment segment = segment_of(frame, l4);
  if (port >= kFirstPort) learn_neighbour(port, frame, remote.address);
  const std::uint32_t way_back = path_for(port, local.address, remote.address);
  if (way_back == 0) {
    state_->counters.add(Count::kDropNoPath);
    return;
  }
  const std::uint32_t listener = tcp_.find_listener(local);
  if (listener != 0) {
    tcp_.on_syn(listener, segment, way_back, now);
    return;
  }
  state_->counters.add(Count::kRstSent);
  tcp_.reject(segment, way_back);
}

void Stack::poison(base::Instant now) {
  state_->header.poisoned = 1;
  state_->counters.add(Count::kPoisoned);
  tcp_.abort_all(now);
  // The listeners are gone; their numbers may soon be those of others.
  auto& sockets = state_->sockets.sockets;
  for (std::uint32_t i = 1; i <= sockets.high_water(); ++i) {
    Socket& s = sockets[i];
    if (s.kind != SocketKind::kListener) continue;
    s.kind = SocketKind::kStream;
    s.object = 0;
  }
}

}  // namespace ringway::stack
