// From a frame to the protocol that it is for.

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
  const std::byte* l4 = ip + 20;
  const base::Endpoint remote{base::IpAddress::from_v4_bytes(ip + 12), base::load_be16(l4)};
  const base::Endpoint local{base::IpAddress::from_v4_bytes(ip + 16), base::load_be16(l4 + 2)};
  input_tcp(port, frame, local, remote, kEthernet + 20, base::load_be16(ip + 2) - 20U, now);
}

void Stack::input_slow(std::uint16_t port, Received& frame, base::Instant now) {
  if ((frame.desc.flags & mem::kFrameMore) != 0) {
    state_->counters.add(Count::kDropChain);
    return;
  }
  wire::PacketView view;
  const bool trusted =
      tx_[port]->caps().rx_checksum_trusted || (frame.desc.flags & mem::kFrameCsumOk) != 0;
  const auto drop =
      wire::parse_frame({frame.data, frame.length}, {.checksums_trusted = trusted}, view);
  if (drop != wire::ParseDrop::kNone || !view.is_ip()) {
    state_->counters.add(Count::kDropParse);
    return;
  }
  if (view.is_fragment || view.protocol != wire::Protocol::kTcp) {
    state_->counters.add(Count::kDropProtocol);
    return;
  }
  input_tcp(port, frame, {view.dst, view.dst_port}, {view.src, view.src_port}, view.l4_offset,
            view.l4_length(), now);
}

void Stack::input_tcp(std::uint16_t port, Received& frame, const base::Endpoint& local,
                      const base::Endpoint& remote, std::uint32_t offset, std::uint32_t length,
                      base::Instant now) {
  tcp::Segment segment;
  segment.data = frame.data + offset;
  segment.length = length;
  segment.offset = frame.desc.offset + offset;
  segment.frame = frame.frame;
  segment.must_copy = frame.must_copy;
  const std::uint32_t connection = tcp_.find(local, remote);
  if (connection != 0) [[likely]] {
    // On a link everybody is who his link says: a peer cannot reach into the flows of others.
    if (path(tcp_.conn(connection).path).port != port) {
      state_->counters.add(Count::kDropForeignFlow);
      return;
    }
    const bool try_listener = tcp_.input(connection, segment, now);
    frame.taken = segment.taken;
    if (!try_listener) return;
  }
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
}

}  // namespace ringway::stack
