#include "sim/tcp_host.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "wire/packet_view.h"

namespace ringway::sim {
namespace {

port::Path make_path(const HostOptions& o) {
  port::Path p{};
  p.mtu = o.caps.mtu;
  p.max_frame = o.caps.max_frame;
  p.is_v6 = o.address.is_v6() ? 1 : 0;
  p.l3_offset = 14;
  p.header_length = p.is_v6 != 0 ? 54 : 34;
  p.local = o.address;
  p.remote = o.peer;
  if (o.caps.reliable) p.flags |= port::kPathReliable;
  if (o.caps.tx_checksum) p.flags |= port::kPathTxChecksum;
  if (o.caps.tx_gso) p.flags |= port::kPathGso;
  std::byte* h = p.header.data();
  std::byte* l3 = h + 14;
  if (p.is_v6 != 0) {
    base::store_be16(h + 12, 0x86dd);
    base::store_u8(l3, 0x60);
    base::store_u8(l3 + 7, 64);
    std::memcpy(l3 + 8, p.local.bytes.data(), 16);
    std::memcpy(l3 + 24, p.remote.bytes.data(), 16);
  } else {
    base::store_be16(h + 12, 0x0800);
    base::store_u8(l3, 0x45);
    base::store_u8(l3 + 8, 64);
    std::memcpy(l3 + 12, p.local.bytes.data() + 12, 4);
    std::memcpy(l3 + 16, p.remote.bytes.data() + 12, 4);
  }
  return p;
}

}  // namespace

TcpHost::TcpHost(const HostOptions& options)
    : options_(options),
      state_(tcp::make_zeroed<tcp::TcpState>()),
      cells_(tcp::make_zeroed<mem::CellSlab>()),
      memory_(tcp::make_zeroed<std::byte>(std::size_t{options.frames} * options.slot_bytes)),
      rx_memory_(tcp::make_zeroed<std::byte>(std::max<std::size_t>(options.rx_frames, 1) *
                                             options.slot_bytes)),
      regions_(std::make_unique<mem::RegionTable>()) {
  pool_state_.slot_size = options.slot_bytes;
  pool_state_.slot_count = options.frames;
  pool_ = mem::FramePool(&pool_state_, memory_.get());
  (void)pool_.allocate();  // slot 0 of Region 0 is never given out
  regions_->set(0, pool_.view());
  rx_pool_state_.slot_size = options.slot_bytes;
  rx_pool_state_.slot_count = options.rx_frames;
  rx_pool_ = mem::FramePool(&rx_pool_state_, rx_memory_.get());
  regions_->set(1, rx_pool_.view());
  wire_ =
      std::make_unique<WirePort>(options.name, options.caps, options.faults, &pool_, &rx_pool());
  wire_->limit(options.ring_slots);
  batch_ = std::make_unique<port::TxBatch>(wire_.get(), &pool_, nullptr, std::uint16_t{0});
  batches_ = {batch_.get()};
  paths_ = {port::Path{}, make_path(options)};
  state_->secret = {1, 2};
  tcp_ =
      tcp::Tcp(*state_, {cells_.get(), &pool_, regions_.get()}, {paths_.data(), batches_.data()});
}

base::Instant TcpHost::next_event() const {
  // A turn takes a microsecond, so that no host can stop the time.
  if (touched_ || tcp_.has_output()) return last_turn_ + base::Duration::microseconds(1);
  base::Instant next = std::min(wire_->next_deadline(), tcp_.next_deadline());
  // Something waits for room: look again soon, as a runtime would that has no bell for it.
  if (tcp_.blocked() || batch_->blocked()) {
    next = std::min(next, base::Instant{last_turn_.ns + 10'000});
  }
  return next;
}

void TcpHost::act(base::Instant now) {
  touched_ = false;
  last_turn_ = now;
  wire_->advance(now);
  std::array<mem::FrameDesc, 64> burst;
  const std::size_t n = wire_->rx_burst(burst);
  for (std::size_t i = 0; i < n; ++i) receive(burst[i], now);
  tcp_.on_timers(now);
  batch_->flush();
  batch_->take_room();
  tcp_.output(now);
  batch_->flush();
  if (tcp_.next_deadline() < now) ++stale_;
  tcp::Event event;
  while (tcp_.next_event(event)) {
    const auto handler = handlers_.find(event.socket);
    if (handler != handlers_.end()) handler->second(event);
  }
}

void TcpHost::receive(const mem::FrameDesc& desc, base::Instant now) {
  const std::byte* frame = rx_pool().data(desc.slot) + desc.offset;
  wire::PacketView view;
  wire::ParseOptions options;
  options.checksums_trusted = options_.caps.rx_checksum_trusted;
  const bool good =
      wire::parse_frame({frame, desc.length}, options, view) == wire::ParseDrop::kNone &&
      view.is_ip() && view.protocol == wire::Protocol::kTcp && !view.is_fragment &&
      view.dst == options_.address && view.src == options_.peer;
  if (!good) {
    ++bad_;
    rx_pool().free(desc.slot);
    return;
  }
  tcp::Segment segment;
  segment.data = frame + view.l4_offset;
  segment.length = view.l4_length();
  segment.offset = std::uint32_t{desc.offset} + view.l4_offset;
  segment.frame = mem::FrameRef::make(options_.rx_frames != 0 ? 1 : 0, desc.slot);
  segment.must_copy = rx_pool().free_count() < rx_pool().size() / 2;
  demux(segment, {view.dst, view.dst_port}, {view.src, view.src_port}, now);
  if (!segment.taken) rx_pool().free(desc.slot);
}

void TcpHost::demux(tcp::Segment& segment, const base::Endpoint& local,
                    const base::Endpoint& remote, base::Instant now) {
  const std::uint32_t connection = tcp_.find(local, remote);
  if (connection != 0 && !tcp_.input(connection, segment, now)) return;
  const std::uint32_t listener = tcp_.find_listener(local);
  if (listener != 0) {
    tcp_.on_syn(listener, segment, kPath, now);
  } else {
    tcp_.reject(segment, kPath);
  }
}

}  // namespace ringway::sim
