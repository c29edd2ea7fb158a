// Datagrams in cells, and the lists of sockets.

#include <new>

#include "udp/udp.h"

namespace ringway::udp {

Datagram& Udp::datagram(std::uint32_t cell) const {
  return *std::launder(reinterpret_cast<Datagram*>((*b_.cells)[cell].data.data()));
}

std::byte* Udp::inline_payload(std::uint32_t cell) const {
  return (*b_.cells)[cell].data.data() + sizeof(Datagram);
}

void Udp::push(DatagramQueue& queue, std::uint32_t cell) const {
  (*b_.cells)[cell].next = 0;
  if (queue.tail != 0) {
    (*b_.cells)[queue.tail].next = cell;
  } else {
    queue.head = cell;
  }
  queue.tail = cell;
  queue.charge += charge_of(datagram(cell).length);
}

void Udp::pop(DatagramQueue& queue) const {
  const std::uint32_t cell = queue.head;
  Datagram& d = datagram(cell);
  queue.charge -= charge_of(d.length);
  queue.head = (*b_.cells)[cell].next;
  if (queue.head == 0) queue.tail = 0;
  d.payload.clear(b_);
  b_.cells->free(cell);
}

void Udp::clear(DatagramQueue& queue) const {
  while (queue.head != 0) pop(queue);
}

std::uint32_t Udp::make_datagram(const Datagram& header) const {
  const std::uint32_t cell = b_.cells->allocate_raw();
  if (cell == 0) return 0;
  mem::Cell& c = (*b_.cells)[cell];
  c.frame = {};
  c.offset = 0;
  c.length = 0;
  c.aux = 0;
  new (c.data.data()) Datagram(header);
  return cell;
}

void Udp::raise(std::uint32_t index, std::uint32_t bits) const {
  UdpSocket& s = at(index);
  if ((s.flags & kClosed) != 0) return;
  s.events |= bits;
  if ((s.flags & kInEventList) != 0) return;
  s.flags |= kInEventList;
  s.event_next = 0;
  (s_->events.tail != 0 ? at(s_->events.tail).event_next : s_->events.head) = index;
  s_->events.tail = index;
}

void Udp::mark_dirty(std::uint32_t index) const {
  UdpSocket& s = at(index);
  if ((s.flags & kInDirtyList) != 0) return;
  s.flags |= kInDirtyList;
  s.dirty_next = 0;
  (s_->dirty.tail != 0 ? at(s_->dirty.tail).dirty_next : s_->dirty.head) = index;
  s_->dirty.tail = index;
}

void Udp::remove_from(IndexList& list, std::uint32_t UdpSocket::*next, std::uint32_t index) const {
  std::uint32_t before = 0;
  for (std::uint32_t i = list.head; i != 0; before = i, i = at(i).*next) {
    if (i != index) continue;
    (before != 0 ? at(before).*next : list.head) = at(i).*next;
    if (list.tail == i) list.tail = before;
    return;
  }
}

bool Udp::next_event(Event& event) {
  const std::uint32_t index = s_->events.head;
  if (index == 0) return false;
  UdpSocket& s = at(index);
  event = {index, s.socket, s.events};
  s.events = 0;
  s.flags &= static_cast<std::uint16_t>(~kInEventList);
  s_->events.head = s.event_next;
  if (s_->events.head == 0) s_->events.tail = 0;
  return true;
}

std::string_view name(Counter counter) {
  static constexpr std::array<std::string_view, Counters::kSize> kNames = {
      "datagrams_in",        "datagrams_out",  "bytes_in",        "bytes_out",
      "queued_out",          "errors_in",      "drop_bad_header", "drop_no_socket",
      "drop_receive_buffer", "drop_no_memory", "drop_shutdown",   "drop_path_failed",
      "icmp_ignored",
  };
  const auto at = static_cast<std::size_t>(counter);
  return at < kNames.size() ? kNames[at] : "unknown";
}

}  // namespace ringway::udp
