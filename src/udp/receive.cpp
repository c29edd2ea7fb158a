// From a frame to a socket's queue and on to the user.

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "udp/udp.h"
#include "wire/udp.h"

namespace ringway::udp {

Outcome Udp::input(Arrival& arrival) {
  const auto header = wire::UdpHeader::parse({arrival.data, arrival.length});
  if (!header || header->length > arrival.length) {
    count(Counter::kDropBadHeader);
    return Outcome::kDropped;
  }
  arrival.length = header->length;
  const base::Endpoint local{arrival.local, header->dst_port};
  const base::Endpoint remote{arrival.remote, header->src_port};
  if (arrival.to_many) return deliver_to_many(arrival, local, remote);
  const std::uint32_t index = find(local, remote);
  if (index == 0) {
    count(Counter::kDropNoSocket);
    return Outcome::kNoSocket;
  }
  return deliver(index, arrival, remote);
}

// Every socket that matches gets its own copy (RFC 1122, 4.1.3.2; as hosts do for multicast).
Outcome Udp::deliver_to_many(Arrival& arrival, const base::Endpoint& local,
                             const base::Endpoint& remote) {
  arrival.must_copy = true;
  bool any = false;
  for (std::uint32_t i = first_of_port(local.port); i != 0; i = at(i).port_next) {
    if (!matches(at(i), local, remote)) continue;
    deliver(i, arrival, remote);
    any = true;
  }
  if (any) return Outcome::kDelivered;
  count(Counter::kDropNoSocket);
  return Outcome::kNoSocket;
}

Outcome Udp::deliver(std::uint32_t index, Arrival& arrival, const base::Endpoint& remote) {
  UdpSocket& s = at(index);
  const std::uint32_t length = arrival.length - static_cast<std::uint32_t>(wire::UdpHeader::kSize);
  if ((s.flags & kReadShut) != 0) {
    count(Counter::kDropShutdown);
    return Outcome::kDropped;
  }
  // An empty queue takes any datagram, however small the buffer.
  if (s.in.head != 0 && s.in.charge + charge_of(length) > s.options.receive_buffer_bytes) {
    ++s.drops;
    count(Counter::kDropReceiveBuffer);
    return Outcome::kDropped;
  }
  const std::uint32_t cell = make_datagram({remote, arrival.local, 0, length, {}});
  if (cell == 0 || !fill(cell, arrival)) {
    if (cell != 0) b_.cells->free(cell);
    ++s.drops;
    count(Counter::kDropNoMemory);
    return Outcome::kDropped;
  }
  push(s.in, cell);
  count(Counter::kDatagramsIn);
  count(Counter::kBytesIn, length);
  raise(index, EPOLLIN);
  return Outcome::kDelivered;
}

bool Udp::fill(std::uint32_t cell, Arrival& arrival) const {
  constexpr auto kHeader = static_cast<std::uint32_t>(wire::UdpHeader::kSize);
  Datagram& d = datagram(cell);
  const std::byte* payload = arrival.data + kHeader;
  if (d.length <= kInlinePayload) {
    std::memcpy(inline_payload(cell), payload, d.length);
    return true;
  }
  if (arrival.frame && !arrival.must_copy) {
    arrival.taken = d.payload.append_frame(b_, arrival.frame, arrival.offset + kHeader, d.length);
    return arrival.taken;
  }
  if (d.payload.append(b_, {payload, d.length}) == d.length) return true;
  d.payload.clear(b_);
  return false;
}

Io Udp::recv(std::uint32_t index, std::span<const iovec> to, bool peek, Message& message) {
  UdpSocket& s = at(index);
  if (s.error != 0) return {0, error(index)};
  message = {};
  if (s.in.head == 0) return {0, (s.flags & kReadShut) != 0 ? 0 : EAGAIN};
  const std::uint32_t cell = s.in.head;
  Datagram& d = datagram(cell);
  message = {d.remote, d.local, d.length};
  std::uint32_t done = 0;
  for (const iovec& part : to) {
    const auto n = static_cast<std::uint32_t>(std::min<std::size_t>(part.iov_len, d.length - done));
    copy_out(cell, done, {static_cast<std::byte*>(part.iov_base), n});
    done += n;
  }
  if (!peek) pop(s.in);
  return {done, 0};
}

void Udp::copy_out(std::uint32_t cell, std::uint32_t from, std::span<std::byte> out) const {
  if (out.empty()) return;
  const Datagram& d = datagram(cell);
  if (d.length <= kInlinePayload) {
    std::memcpy(out.data(), inline_payload(cell) + from, out.size());
  } else {
    d.payload.peek(b_, from, out);
  }
}

std::uint32_t Udp::readable_bytes(std::uint32_t index) const {
  const std::uint32_t cell = at(index).in.head;
  return cell != 0 ? datagram(cell).length : 0;
}

std::uint32_t Udp::readiness(std::uint32_t index) {
  UdpSocket& s = at(index);
  std::uint32_t bits = 0;
  const bool read_shut = (s.flags & kReadShut) != 0;
  if (s.in.head != 0 || read_shut) bits |= EPOLLIN | EPOLLRDNORM;
  if (read_shut) bits |= EPOLLRDHUP;
  if (read_shut && (s.flags & kWriteShut) != 0) bits |= EPOLLHUP;
  if (s.error != 0) bits |= EPOLLERR;
  if (s.out.charge < s.options.send_buffer_bytes) {
    bits |= EPOLLOUT | EPOLLWRNORM;
  } else {
    s.flags |= kWantsRoom;
  }
  return bits;
}

int Udp::error(std::uint32_t index) {
  const int error = at(index).error;
  at(index).error = 0;
  return error;
}

void Udp::shutdown_read(std::uint32_t index) {
  at(index).flags |= kReadShut;
  raise(index, EPOLLIN | EPOLLRDHUP);
}

void Udp::shutdown_write(std::uint32_t index) { at(index).flags |= kWriteShut; }

void Udp::on_icmp_error(const base::Endpoint& local, const base::Endpoint& remote, int error) {
  const std::uint32_t index = find(local, remote);
  const bool wanted =
      index != 0 && ((at(index).flags & kConnected) != 0 || at(index).options.receive_errors);
  if (!wanted) {
    count(Counter::kIcmpIgnored);
    return;
  }
  count(Counter::kErrorsIn);
  at(index).error = static_cast<std::uint16_t>(error);
  raise(index, EPOLLERR);
}

}  // namespace ringway::udp
