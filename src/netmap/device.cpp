#include "netmap/device.h"

#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/sys.h"
#include "base/unique_fd.h"
#include "netmap/buffers.h"
#include "netmap/monitor.h"
#include "netmap/ports.h"
#include "netmap/sync.h"

namespace ringway::netmap {
namespace {

namespace sys = base::sys;
using base::UniqueFd;

constexpr std::size_t kBatch = 64;
constexpr int kIgnoreOutgoing = 23;  // PACKET_IGNORE_OUTGOING, newer than some headers

/// The sockets of this process: generation of the port above, fd + 1 below. An entry of an older
/// generation is somebody else's.
std::array<std::atomic<std::uint64_t>, kMaxPorts> sockets;

int known_socket(std::uint32_t index) {
  const std::uint64_t entry = sockets[index].load(std::memory_order_acquire);
  const bool current = entry >> 32 == registry()->ports[index].generation;
  return current ? static_cast<int>(entry & UINT32_MAX) - 1 : -1;
}

UniqueFd make_socket(const char* name) {
  UniqueFd fd(sys::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fd;
  const int on = 1;
  const int bytes = 8 << 20;
  sys::setsockopt(fd.get(), SOL_PACKET, kIgnoreOutgoing, &on, sizeof on);
  sys::setsockopt(fd.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
  sys::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(::if_nametoindex(name));
  const auto* where = reinterpret_cast<const sockaddr*>(&address);
  if (address.sll_ifindex == 0 || sys::bind(fd.get(), where, sizeof address) != 0) fd.reset();
  return fd;
}

int socket_of(std::uint32_t index) {
  const int known = known_socket(index);
  if (known >= 0) return known;
  const Port& port = registry()->ports[index];
  UniqueFd fd = make_socket(port.name);
  if (!fd) return -1;
  constexpr int kOutOfTheWay = 800;
  UniqueFd high(sys::fcntl(fd.get(), F_DUPFD_CLOEXEC, kOutOfTheWay));
  const int number = high ? high.release() : fd.release();
  const std::uint64_t before = sockets[index].exchange(std::uint64_t{port.generation} << 32 |
                                                       static_cast<unsigned>(number + 1));
  if ((before & UINT32_MAX) != 0) sys::close(static_cast<int>(before & UINT32_MAX) - 1);
  return number;
}

/// Messages of one system call.
template <std::size_t kPieces>
struct Messages {
  std::array<mmsghdr, kBatch> headers{};
  std::array<iovec, kPieces> pieces{};
};

/// How many packets of the slots [from, to) were sent, and where the first that was not begins.
std::uint32_t send_slots(const Kring& kring, int fd, std::uint32_t from, std::uint32_t to) {
  const Buffers buffers(kring.allocator);
  Messages<kBatch> m;
  std::array<std::uint32_t, kBatch> ends{};
  unsigned packets = 0;
  std::size_t pieces = 0;
  for (std::uint32_t k = from; k != to && pieces < kBatch;) {
    msghdr& header = m.headers[packets].msg_hdr;
    header.msg_iov = &m.pieces[pieces];
    bool more = true;
    while (more && k != to && pieces < kBatch) {
      const abi::Slot slot = read_slot(kring, k);
      const Piece piece = buffers.piece(kring, slot);
      m.pieces[pieces++] = {piece.data, piece.bytes};
      ++header.msg_iovlen;
      more = (slot.flags & abi::kMoreFrag) != 0;
      k = next(k, kring.slots);
    }
    ends[packets++] = k;
    if (more && k != to && packets > 1) --packets;  // does not fit into this call
  }
  const long sent =
      sys::raw(SYS_sendmmsg, fd, reinterpret_cast<long>(m.headers.data()), packets, MSG_DONTWAIT);
  if (sent > 0) return ends[static_cast<std::size_t>(sent) - 1];
  const bool later = sent == -EAGAIN || sent == -ENOBUFS;
  return later ? from : ends[0];  // what the device refuses is lost, as on a wire
}

std::uint32_t receive_slots(Kring& kring, int fd, std::uint32_t from, std::uint32_t room) {
  const Buffers buffers(kring.allocator);
  Messages<kBatch> m;
  const auto count = static_cast<unsigned>(std::min<std::size_t>(room, kBatch));
  abi::Slot* slots = ring_of(kring)->slots();
  for (unsigned i = 0; i < count; ++i) {
    const Piece piece = buffers.room(kring, slots[(from + i) % kring.slots]);
    m.pieces[i] = {piece.data, piece.bytes};
    m.headers[i].msg_hdr.msg_iov = &m.pieces[i];
    m.headers[i].msg_hdr.msg_iovlen = 1;
  }
  const long got =
      sys::raw(SYS_recvmmsg, fd, reinterpret_cast<long>(m.headers.data()), count, MSG_DONTWAIT, 0);
  for (long i = 0; i < got; ++i) {
    abi::Slot& slot = slots[(from + static_cast<unsigned>(i)) % kring.slots];
    slot.len = static_cast<std::uint16_t>(m.headers[static_cast<std::size_t>(i)].msg_len);
    slot.flags = 0;
  }
  return got > 0 ? static_cast<std::uint32_t>(got) : 0;
}

bool is_host_ring(const Kring& kring, const Port& port) {
  return kring.index >= (kring.is_tx != 0 ? port.tx_rings : port.rx_rings);
}

}  // namespace

int open_interface(std::uint32_t port) {
  errno = 0;
  return socket_of(port) >= 0 ? 0 : (errno != 0 ? errno : ENXIO);
}

bool device_tx(Kring& kring, std::uint32_t head) {
  if (is_host_ring(kring, port_at(kring.port))) {
    kring.hwcur.store(head);
    kring.tail = previous(head, kring.slots);
    return true;
  }
  const int fd = socket_of(kring.port);
  if (fd < 0) return false;
  std::uint32_t sent = kring.hwtail.load(std::memory_order_relaxed);
  const std::uint32_t before = sent;
  for (std::uint32_t last = kNone; sent != head && sent != last;) {
    last = sent;
    sent = send_slots(kring, fd, sent, head);
  }
  if (is_watched(kring)) show_used(kring, before, sent);
  kring.hwtail.store(sent, std::memory_order_relaxed);
  kring.hwcur.store(head, std::memory_order_relaxed);
  kring.tail = previous(sent, kring.slots);
  return true;
}

bool device_rx(Kring& kring, std::uint32_t head) {
  kring.hwcur.store(head, std::memory_order_relaxed);
  if (is_host_ring(kring, port_at(kring.port))) return true;
  const int fd = socket_of(kring.port);
  if (fd < 0) return false;
  const std::uint32_t before = kring.tail;
  for (;;) {
    const std::uint32_t room = distance(kring.tail + 1, head + kring.slots, kring.slots);
    const std::uint32_t got = room == 0 ? 0 : receive_slots(kring, fd, kring.tail, room);
    kring.tail = (kring.tail + got) % kring.slots;
    if (got < kBatch) break;
  }
  if (is_watched(kring)) show_copies(kring, kring, before, kring.tail);
  kring.hwtail.store(kring.tail, std::memory_order_relaxed);
  return true;
}

void watch_interface(const Descriptor& d, short events, std::vector<pollfd>* items) {
  const Port& port = port_at(d.port);
  if (port.kind.load() != PortKind::kDevice) return;
  const int fd = known_socket(d.port);
  short wanted = (events & (POLLIN | POLLRDNORM)) != 0 ? POLLIN : 0;
  for (std::uint32_t i = d.tx_first; i < std::min(d.tx_last, port.tx_rings); ++i) {
    const Kring& kring = kring_at(port, true, i);
    if (kring.hwtail.load() != kring.hwcur.load()) wanted |= POLLOUT;
  }
  if (fd >= 0 && wanted != 0) items->push_back({fd, wanted, 0});
}

bool owns_interface_fd(int fd) {
  return std::any_of(sockets.begin(), sockets.end(), [fd](const auto& entry) {
    return (entry.load(std::memory_order_relaxed) & UINT32_MAX) == static_cast<unsigned>(fd) + 1U;
  });
}

}  // namespace ringway::netmap
