#include "ip/reassembly.h"

#include <algorithm>
#include <cstring>

#include "wire/ethernet.h"
#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace ringway::ip {
namespace {

using Outcome = Reassembly::Outcome;
using Piece = PartialDatagram::Piece;

// Compares a new piece with those that are there (RFC 8200, 4.5).
Outcome check_piece(const PartialDatagram& d, const Piece& piece, bool last) {
  for (std::uint32_t i = 0; i < d.piece_count; ++i) {
    const Piece& other = d.pieces[i];
    if (other.begin == piece.begin && other.end == piece.end) return Outcome::kDuplicate;
    if (piece.begin < other.end && other.begin < piece.end) return Outcome::kOverlap;
    if (last && other.end > piece.end) return Outcome::kInconsistent;
  }
  if (d.has_last && (last || piece.end > d.total)) return Outcome::kInconsistent;
  return d.piece_count == PartialDatagram::kMaxFragments ? Outcome::kLimit : Outcome::kWaiting;
}

void note_first(PartialDatagram& d, std::span<const std::byte> frame,
                const wire::PacketView& view) {
  const std::size_t length = std::min<std::size_t>(PartialDatagram::kMaxHead, view.end);
  std::memcpy(d.head.data(), frame.data(), length);
  d.head_length = static_cast<std::uint8_t>(length);
  d.protocol = view.protocol;
  d.traffic_class = view.traffic_class;
  d.ttl = view.ttl;
}

std::size_t write_ip(const PartialDatagram& d, std::byte* out) {
  if (d.src.is_v4()) {
    wire::Ipv4Header h;
    h.src = d.src;
    h.dst = d.dst;
    h.total_length = static_cast<std::uint16_t>(wire::Ipv4Header::kSize + d.total);
    h.id = static_cast<std::uint16_t>(d.id);
    h.traffic_class = d.traffic_class;
    h.ttl = d.ttl;
    h.protocol = d.protocol;
    h.emit(out);
    return wire::Ipv4Header::kSize;
  }
  wire::Ipv6Header h;
  h.src = d.src;
  h.dst = d.dst;
  h.payload_length = static_cast<std::uint16_t>(d.total);
  h.traffic_class = d.traffic_class;
  h.hop_limit = d.ttl;
  h.next_header = d.protocol;
  h.emit(out);
  return wire::Ipv6Header::kSize;
}

// The datagram as one frame. Extension headers in front of the fragment header have done their
// work.
std::span<const std::byte> write_whole(const mem::Buffers& buffers, const PartialDatagram& d,
                                       std::span<std::byte> scratch) {
  std::byte* out = scratch.data();
  std::memcpy(out, d.head.data(), 12);
  const auto type = d.src.is_v4() ? wire::EtherType::kIpv4 : wire::EtherType::kIpv6;
  base::store_be16(out + 12, static_cast<std::uint16_t>(type));
  const std::size_t header =
      wire::EthernetHeader::kSize + write_ip(d, out + wire::EthernetHeader::kSize);
  for (std::uint32_t i = d.data.head; i != 0; i = (*buffers.cells)[i].next) {
    mem::Cell& cell = (*buffers.cells)[i];
    std::memcpy(out + header + cell.aux, buffers.bytes(cell), cell.length);
  }
  return scratch.first(header + d.total);
}

constexpr std::uint32_t cells_for(std::size_t bytes) {
  return static_cast<std::uint32_t>((bytes + mem::Cell::kInlineBytes - 1) /
                                    mem::Cell::kInlineBytes);
}

}  // namespace

std::uint32_t Reassembly::find(const wire::PacketView& view, std::uint8_t interface) const {
  for (std::uint32_t i = 1; i <= slab_.high_water(); ++i) {
    const PartialDatagram& d = slab_[i];
    // RFC 791: the protocol is part of the key; RFC 8200: it is not.
    const bool same = used_[i] && d.id == view.fragment_id && d.interface == interface &&
                      d.src == view.src && d.dst == view.dst;
    if (same && (!view.is_v4() || d.protocol == view.protocol)) return i;
  }
  return 0;
}

std::uint32_t Reassembly::create(const wire::PacketView& view, std::uint8_t interface,
                                 base::Instant now) {
  const std::uint32_t i = slab_.allocate();
  if (i == 0) return 0;
  used_[i] = true;
  PartialDatagram& d = slab_[i];
  d.src = view.src;
  d.dst = view.dst;
  d.id = view.fragment_id;
  d.protocol = view.protocol;
  d.interface = interface;
  d.deadline = now + (view.is_v4() ? kTimeoutV4 : kTimeoutV6);
  return i;
}

void Reassembly::release(const mem::Buffers& buffers, std::uint32_t index) {
  PartialDatagram& d = slab_[index];
  for (std::uint32_t c = d.data.head; c != 0; c = (*buffers.cells)[c].next) --cells_used_;
  d.data.clear(buffers);
  used_[index] = false;
  slab_.free(index);
}

bool Reassembly::store(const mem::Buffers& buffers, PartialDatagram& d,
                       std::span<const std::byte> bytes, std::uint32_t offset) {
  if (cells_used_ + cells_for(bytes.size()) > kMaxCells) return false;
  while (!bytes.empty()) {
    const std::uint32_t i = buffers.cells->allocate_raw();
    if (i == 0) return false;
    const auto take = std::min<std::size_t>(bytes.size(), mem::Cell::kInlineBytes);
    mem::Cell& cell = (*buffers.cells)[i];
    cell.frame = {};
    cell.offset = 0;
    cell.length = static_cast<std::uint32_t>(take);
    cell.aux = offset;
    std::memcpy(cell.data.data(), bytes.data(), take);
    d.data.push_cell(buffers, i);
    ++cells_used_;
    offset += static_cast<std::uint32_t>(take);
    bytes = bytes.subspan(take);
  }
  return true;
}

Outcome Reassembly::insert(const mem::Buffers& buffers, PartialDatagram& d,
                           const Arrival& arrival) {
  const wire::PacketView& view = arrival.view;
  const std::uint32_t begin = view.fragment_offset;
  const std::uint32_t end = begin + view.l4_length();
  const bool last = !view.more_fragments;
  const Piece piece{static_cast<std::uint16_t>(begin), static_cast<std::uint16_t>(end)};
  const Outcome outcome = check_piece(d, piece, last);
  if (outcome != Outcome::kWaiting) return outcome;
  const std::size_t header = view.is_v4() ? wire::Ipv4Header::kSize : 0;
  if (end + header > 0xffff) return Outcome::kInconsistent;
  if (!store(buffers, d, arrival.frame.subspan(view.l4_offset, end - begin), begin)) {
    return Outcome::kLimit;
  }
  d.pieces[d.piece_count++] = piece;
  d.received += end - begin;
  if (begin == 0) note_first(d, arrival.frame, view);
  if (last) {
    d.has_last = true;
    d.total = end;
  }
  const bool whole = d.has_last && d.received == d.total && d.head_length != 0;
  return whole ? Outcome::kComplete : Outcome::kWaiting;
}

Outcome Reassembly::add(const mem::Buffers& buffers, const Arrival& arrival,
                        std::span<std::byte> scratch, std::span<const std::byte>& whole) {
  // A fragment in several frames: no port makes one.
  if (arrival.view.end > arrival.frame.size()) return Outcome::kLimit;
  std::uint32_t index = find(arrival.view, arrival.interface);
  if (index == 0) index = create(arrival.view, arrival.interface, arrival.now);
  if (index == 0) return Outcome::kLimit;
  const Outcome outcome = insert(buffers, slab_[index], arrival);
  if (outcome == Outcome::kWaiting || outcome == Outcome::kDuplicate) return outcome;
  if (outcome == Outcome::kComplete) whole = write_whole(buffers, slab_[index], scratch);
  release(buffers, index);
  return outcome;
}

base::Instant Reassembly::earliest() const {
  base::Instant earliest = base::Instant::never();
  if (slab_.in_use() == 0) return earliest;
  for (std::uint32_t i = 1; i <= slab_.high_water(); ++i) {
    if (used_[i] && slab_[i].deadline < earliest) earliest = slab_[i].deadline;
  }
  return earliest;
}

}  // namespace ringway::ip
