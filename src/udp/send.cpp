// From the user to a frame, or to the socket's queue if it cannot leave now.

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "udp/udp.h"
#include "wire/udp.h"

namespace ringway::udp {
namespace {

constexpr auto kHeader = static_cast<std::uint32_t>(wire::UdpHeader::kSize);
constexpr std::uint8_t kProtocol = static_cast<std::uint8_t>(wire::Protocol::kUdp);
constexpr std::uint32_t kMaxFrame = 65'535;  // FrameDesc::length

std::uint64_t total(std::span<const iovec> from) {
  std::uint64_t bytes = 0;
  for (const iovec& part : from) bytes += part.iov_len;
  return bytes;
}

bool is_broadcast(const port::Path& path, const base::IpAddress& remote) {
  static constexpr auto kBroadcast = base::MacAddress::broadcast();
  return remote.is_v4() && !remote.is_multicast() && path.l3_offset >= 6 &&
         std::memcmp(path.header.data(), kBroadcast.bytes.data(), kBroadcast.bytes.size()) == 0;
}

}  // namespace

// One datagram on its way out: its payload is the user's, or a queued one's.
struct Udp::Outgoing {
  const Udp& udp;
  std::uint16_t src_port;
  base::Endpoint remote;
  std::uint32_t path;
  std::uint32_t length;
  bool dont_fragment;
  std::span<const iovec> from;
  std::uint32_t cell;  ///< 0: `from` counts

  void copy_payload(std::byte* out) const {
    if (cell != 0) {
      udp.copy_out(cell, 0, {out, length});
      return;
    }
    for (const iovec& part : from) {
      if (part.iov_len != 0) std::memcpy(out, part.iov_base, part.iov_len);
      out += part.iov_len;
    }
  }
  wire::UdpHeader header() const {
    return {src_port, remote.port, static_cast<std::uint16_t>(kHeader + length), 0};
  }
};

Udp::Sent Udp::transmit_whole(const Outgoing& o, port::Path& path, port::TxBatch& out) {
  const std::uint32_t l4 = kHeader + o.length;
  const port::TxBatch::Packet room = out.reserve(path.header_length + l4);
  if (room.data == nullptr) return Sent::kNoRoom;
  std::byte* at = path.write_header(room.data, kProtocol, l4);
  wire::UdpHeader header = o.header();
  mem::FrameDesc desc;
  desc.l4_offset = path.header_length;
  if ((path.flags & port::kPathTxChecksum) != 0) {
    // What a device goes on from: the sum of the pseudo header (virtio 1.2, 5.1.6.2).
    header.checksum = wire::pseudo_header(path.local, path.remote, kProtocol, l4).fold();
    desc.flags = mem::kFrameCsumNeeded;
    header.emit(at);
    o.copy_payload(at + kHeader);
  } else {
    header.emit(at);
    o.copy_payload(at + kHeader);
    wire::finish_udp({at, l4}, path.local, path.remote);
  }
  out.commit(room, path.header_length + l4, desc);
  return Sent::kYes;
}

Udp::Sent Udp::transmit_cut(const Outgoing& o, port::Path& path, port::TxBatch& out) {
  const std::uint32_t l4 = kHeader + o.length;
  if (paths_.fragment == nullptr || l4 > paths_.scratch.size() || o.dont_fragment) {
    return Sent::kTooLong;
  }
  const auto whole = paths_.scratch.first(l4);
  o.header().emit(whole.data());
  o.copy_payload(whole.data() + kHeader);
  wire::finish_udp(whole, path.local, path.remote);
  return paths_.fragment(paths_.fragment_context, path, whole, out) ? Sent::kYes : Sent::kNoRoom;
}

Udp::Sent Udp::transmit(const Outgoing& o) {
  port::Path& path = paths_.paths[o.path];
  port::TxBatch* out = paths_.tx[path.port];
  if ((path.flags & port::kPathDown) != 0 || out == nullptr) return Sent::kDown;
  if ((path.flags & port::kPathPending) != 0) return Sent::kNoRoom;
  const std::uint32_t frame = path.header_length + kHeader + o.length;
  const bool whole =
      frame - path.l3_offset <= path.mtu && frame <= std::min(path.max_frame, kMaxFrame);
  const Sent sent = whole ? transmit_whole(o, path, *out) : transmit_cut(o, path, *out);
  if (sent == Sent::kYes) {
    count(Counter::kDatagramsOut);
    count(Counter::kBytesOut, o.length);
  }
  return sent;
}

int Udp::check_send(UdpSocket& s, std::uint64_t length, const base::Endpoint& remote,
                    std::uint32_t path) const {
  if ((s.flags & kBound) == 0 || remote.port == 0) return EINVAL;
  if ((s.flags & kWriteShut) != 0) return EPIPE;
  if (s.error != 0) return std::exchange(s.error, std::uint16_t{0});
  if (path == 0) return ENETUNREACH;
  if (length > kMaxPayload - (remote.address.is_v4() ? 20U : 0U)) return EMSGSIZE;
  const bool allowed = s.options.broadcast || !is_broadcast(paths_.paths[path], remote.address);
  return allowed ? 0 : EACCES;
}

Io Udp::send(std::uint32_t index, std::span<const iovec> from) {
  const UdpSocket& s = at(index);
  if ((s.flags & kConnected) == 0) return {0, EDESTADDRREQ};
  return send_to(index, from, s.remote, s.path);
}

Io Udp::send_to(std::uint32_t index, std::span<const iovec> from, const base::Endpoint& remote,
                std::uint32_t path) {
  UdpSocket& s = at(index);
  const std::uint64_t bytes = total(from);
  if (const int error = check_send(s, bytes, remote, path); error != 0) return {0, error};
  const auto length = static_cast<std::uint32_t>(bytes);
  const Outgoing o{*this, s.local.port, remote, path, length, s.options.dont_fragment, from, 0};
  // What waits goes first: datagrams of a socket keep their order.
  switch (s.out.head != 0 ? Sent::kNoRoom : transmit(o)) {
    case Sent::kYes:
      return {length, 0};
    case Sent::kTooLong:
      return {0, EMSGSIZE};
    case Sent::kDown:
      return {0, ENETUNREACH};
    case Sent::kNoRoom:
      break;
  }
  if (const int error = enqueue(index, o); error != 0) return {0, error};
  return {length, 0};
}

int Udp::enqueue(std::uint32_t index, const Outgoing& o) {
  UdpSocket& s = at(index);
  if (s.out.head != 0 && s.out.charge + charge_of(o.length) > s.options.send_buffer_bytes) {
    s.flags |= kWantsRoom;
    return EAGAIN;
  }
  const std::uint32_t cell = make_datagram({o.remote, {}, o.path, o.length, {}});
  if (cell == 0) return ENOBUFS;
  if (o.length <= kInlinePayload) {
    o.copy_payload(inline_payload(cell));
  } else if (!append_all(datagram(cell), o.from)) {
    b_.cells->free(cell);
    return ENOBUFS;
  }
  hold_path(o.path);
  push(s.out, cell);
  mark_dirty(index);
  count(Counter::kQueuedOut);
  return 0;
}

bool Udp::append_all(Datagram& d, std::span<const iovec> from) const {
  for (const iovec& part : from) {
    const std::span bytes(static_cast<const std::byte*>(part.iov_base), part.iov_len);
    if (d.payload.append(b_, bytes) == bytes.size()) continue;
    d.payload.clear(b_);
    return false;
  }
  return true;
}

// True when nothing waits any more.
bool Udp::flush_socket(std::uint32_t index) {
  UdpSocket& s = at(index);
  while (s.out.head != 0) {
    const Datagram& d = datagram(s.out.head);
    const Outgoing o{*this, s.local.port, d.remote, d.path, d.length, s.options.dont_fragment,
                     {},    s.out.head};
    const Sent sent = transmit(o);
    if (sent == Sent::kNoRoom) break;
    if (sent != Sent::kYes) {
      // It was taken over when it still could be sent: the next call hears of it.
      s.error = sent == Sent::kDown ? ENETUNREACH : EMSGSIZE;
      count(Counter::kDropPathFailed);
      raise(index, EPOLLERR);
    }
    drop_path(d.path);
    pop(s.out);
  }
  tell_room(index);
  return s.out.head == 0;
}

void Udp::tell_room(std::uint32_t index) const {
  UdpSocket& s = at(index);
  if ((s.flags & kWantsRoom) == 0 || s.out.charge > s.options.send_buffer_bytes / 2) return;
  s.flags &= static_cast<std::uint16_t>(~kWantsRoom);
  raise(index, EPOLLOUT);
}

void Udp::output() {
  IndexList todo = std::exchange(s_->dirty, IndexList{});
  while (todo.head != 0) {
    const std::uint32_t index = todo.head;
    UdpSocket& s = at(index);
    todo.head = s.dirty_next;
    s.flags &= static_cast<std::uint16_t>(~kInDirtyList);
    if (!flush_socket(index)) {
      mark_dirty(index);
    } else if ((s.flags & kClosed) != 0) {
      free_socket(index);
    }
  }
}

void Udp::path_failed(std::uint32_t path, int error) {
  for (std::uint32_t index = s_->dirty.head; index != 0; index = at(index).dirty_next) {
    UdpSocket& s = at(index);
    DatagramQueue kept{};
    while (s.out.head != 0) {
      const std::uint32_t cell = s.out.head;
      if (datagram(cell).path != path) {
        move_front(s.out, kept);
        continue;
      }
      drop_path(path);
      pop(s.out);
      count(Counter::kDropPathFailed);
      s.error = static_cast<std::uint16_t>(error);
      raise(index, EPOLLERR);
    }
    s.out = kept;
    tell_room(index);
  }
}

void Udp::move_front(DatagramQueue& from, DatagramQueue& to) const {
  const std::uint32_t cell = from.head;
  from.charge -= charge_of(datagram(cell).length);
  from.head = (*b_.cells)[cell].next;
  if (from.head == 0) from.tail = 0;
  push(to, cell);
}

}  // namespace ringway::udp
