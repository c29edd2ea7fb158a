// Sockets by port: opening, binding, connecting, closing, looking up.

#include <sys/epoll.h>

#include <cerrno>

#include "base/random.h"
#include "udp/udp.h"

namespace ringway::udp {
namespace {

std::uint32_t bucket(std::uint16_t port) { return port % UdpState::kBuckets; }

// True if `bound` takes datagrams to `address`. any_v6 takes both families (RFC 3493, 3.7).
bool takes(const UdpSocket& s, const base::IpAddress& address) {
  if (s.local.address == address) return true;
  if (!s.local.address.is_any()) return false;
  return s.local.address.is_v4() ? address.is_v4() : !address.is_v4() || !s.options.v6_only;
}

// How well a socket fits; -1: not at all. More specific wins.
int score(const UdpSocket& s, const base::Endpoint& local, const base::Endpoint& remote) {
  if (s.local.port != local.port || !takes(s, local.address)) return -1;
  const bool connected = (s.flags & kConnected) != 0;
  if (connected && s.remote != remote) return -1;
  const int exact = s.local.address == local.address ? 2 : 0;
  const int family = s.local.address.is_v4() == local.address.is_v4() ? 1 : 0;
  return (connected ? 4 : 0) + exact + family;
}

std::uint64_t spread(const base::Endpoint& remote) {
  return base::Random::mix(remote.address.low() ^ remote.address.high() ^
                           (std::uint64_t{remote.port} << 32));
}

}  // namespace

Opened Udp::open(std::uint32_t socket, const Options& options) {
  const std::uint32_t index = s_->sockets.allocate();
  if (index == 0) return {0, ENOBUFS};
  at(index).socket = socket;
  at(index).options = options;
  return {index, 0};
}

bool Udp::conflicts(const UdpSocket& socket, const base::Endpoint& local) const {
  for (std::uint32_t i = s_->by_port[bucket(local.port)]; i != 0; i = at(i).port_next) {
    const UdpSocket& other = at(i);
    if (other.local.port != local.port) continue;
    UdpSocket wanted = socket;
    wanted.local = local;
    if (!takes(other, local.address) && !takes(wanted, other.local.address)) continue;
    const bool shared = (socket.options.reuse_address && other.options.reuse_address) ||
                        (socket.options.reuse_port && other.options.reuse_port);
    if (!shared) return true;
  }
  return false;
}

int Udp::bind(std::uint32_t index, const base::Endpoint& local) {
  UdpSocket& s = at(index);
  if ((s.flags & kBound) != 0 || local.port == 0) return EINVAL;
  if (conflicts(s, local)) return EADDRINUSE;
  s.flags |= kBound;
  s.local = local;
  std::uint32_t& head = s_->by_port[bucket(local.port)];
  s.port_next = head;
  head = index;
  return 0;
}

void Udp::unlink(std::uint32_t index) {
  std::uint32_t* link = &s_->by_port[bucket(at(index).local.port)];
  while (*link != 0 && *link != index) link = &at(*link).port_next;
  if (*link == index) *link = at(index).port_next;
}

std::uint32_t Udp::first_of_port(std::uint16_t port) const { return s_->by_port[bucket(port)]; }

bool Udp::matches(const UdpSocket& socket, const base::Endpoint& local,
                  const base::Endpoint& remote) {
  return score(socket, local, remote) >= 0;
}

void Udp::hold_path(std::uint32_t path) const {
  if (path != 0) ++paths_.paths[path].users;
}

void Udp::drop_path(std::uint32_t path) const {
  if (path != 0) --paths_.paths[path].users;
}

void Udp::set_path(std::uint32_t index, std::uint32_t path) {
  UdpSocket& s = at(index);
  hold_path(path);
  drop_path(s.path);
  s.path = path;
}

int Udp::connect(std::uint32_t index, const base::IpAddress& local, const base::Endpoint& remote,
                 std::uint32_t path) {
  UdpSocket& s = at(index);
  if ((s.flags & kBound) == 0) return EINVAL;
  s.flags |= kConnected;
  s.local.address = local;
  s.remote = remote;
  set_path(index, path);
  return 0;
}

void Udp::disconnect(std::uint32_t index, const base::IpAddress& local) {
  UdpSocket& s = at(index);
  s.flags &= static_cast<std::uint16_t>(~kConnected);
  s.local.address = local;
  s.remote = {};
  set_path(index, 0);
}

void Udp::close(std::uint32_t index) {
  UdpSocket& s = at(index);
  if ((s.flags & kBound) != 0) unlink(index);
  clear(s.in);
  Membership gone;
  while (take_membership(index, gone)) {
  }
  set_path(index, 0);
  if ((s.flags & kInEventList) != 0) remove_from(s_->events, &UdpSocket::event_next, index);
  s.flags = static_cast<std::uint16_t>((s.flags & kInDirtyList) | kClosed);
  // What has been taken over from the user still leaves: output() frees the socket then.
  if (s.out.head == 0) free_socket(index);
}

void Udp::free_socket(std::uint32_t index) {
  if ((at(index).flags & kInDirtyList) != 0) {
    remove_from(s_->dirty, &UdpSocket::dirty_next, index);
  }
  s_->sockets.free(index);
}

int Udp::join(std::uint32_t index, const base::IpAddress& group, std::uint32_t interface) {
  UdpSocket& s = at(index);
  for (std::uint32_t i = s.memberships; i != 0; i = s_->memberships[i].next) {
    const Membership& m = s_->memberships[i];
    if (m.group == group && m.interface == interface) return EADDRINUSE;
  }
  const std::uint32_t i = s_->memberships.allocate();
  if (i == 0) return ENOBUFS;
  s_->memberships[i] = {s.memberships, interface, group};
  s.memberships = i;
  return 0;
}

int Udp::leave(std::uint32_t index, const base::IpAddress& group, std::uint32_t interface) {
  std::uint32_t* link = &at(index).memberships;
  while (*link != 0) {
    const std::uint32_t i = *link;
    const Membership& m = s_->memberships[i];
    if (m.group == group && m.interface == interface) {
      *link = m.next;
      s_->memberships.free(i);
      return 0;
    }
    link = &s_->memberships[i].next;
  }
  return EADDRNOTAVAIL;
}

bool Udp::take_membership(std::uint32_t index, Membership& membership) {
  UdpSocket& s = at(index);
  if (s.memberships == 0) return false;
  membership = s_->memberships[s.memberships];
  s_->memberships.free(s.memberships);
  s.memberships = membership.next;
  return true;
}

std::uint32_t Udp::find(const base::Endpoint& local, const base::Endpoint& remote) const {
  std::uint32_t best = 0;
  int best_score = -1;
  std::uint32_t equal = 0;
  for (std::uint32_t i = s_->by_port[bucket(local.port)]; i != 0; i = at(i).port_next) {
    const int fit = score(at(i), local, remote);
    if (fit > best_score) {
      best = i;
      best_score = fit;
      equal = 1;
    } else if (fit == best_score && fit >= 0 && at(i).options.reuse_port) {
      ++equal;
    }
  }
  if (equal < 2) return best;
  // Several share the port: one of them, the same for each peer.
  std::uint64_t skip = spread(remote) % equal;
  for (std::uint32_t i = best; i != 0; i = at(i).port_next) {
    if (score(at(i), local, remote) == best_score && skip-- == 0) return i;
  }
  return best;
}

}  // namespace ringway::udp
