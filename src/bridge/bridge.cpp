#include "bridge/bridge.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/sys.h"

namespace ringway::bridge {

using base::ErrorCode;
using base::Result;
namespace sys = base::sys;

namespace {

/// Longest frame that is passed on whole: a link's.
constexpr std::uint32_t kMostBytes = 65535;
/// The hosts' frames may be cut here, so that their stacks need not know the members.
constexpr std::uint32_t kMostFrame = 33'280;

}  // namespace

Bridge::Bridge(mem::FramePool& pool)
    : pool_(pool), epoll_(sys::epoll_create1(EPOLL_CLOEXEC)), scratch_(kMostBytes) {
  update_caps();
}

Bridge::~Bridge() {
  for (auto& member : members_) {
    if (member) remove(member->port->name());
  }
}

Result<void> Bridge::add(std::unique_ptr<port::Port> port, mem::FramePool& pool,
                         std::shared_ptr<void> memory, const MemberOptions& options) {
  const auto free = std::find(members_.begin(), members_.end(), nullptr);
  if (free == members_.end()) {
    return base::fail(
        ErrorCode::kExhausted,
        fmt::format("a network has {} attachments at most; detach one first", kMostMembers));
  }
  for (const auto& other : members_) {
    if (other && other->port->name() == port->name()) {
      return base::fail(ErrorCode::kExists, fmt::format("{} is attached already", port->name()));
    }
  }
  auto member = std::make_unique<Member>(Member{std::move(port),
                                                std::move(memory),
                                                &pool,
                                                options,
                                                StormLimit(options.storm),
                                                {},
                                                -1,
                                                false});
  if (const auto fd = member->port->arm()) {
    epoll_event event{};
    event.events = EPOLLIN;
    if (sys::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, *fd, &event) == 0) member->descriptor = *fd;
  }
  *free = std::move(member);
  update_caps();
  return {};
}

bool Bridge::remove(std::string_view name) {
  for (std::uint8_t i = 0; i < members_.size(); ++i) {
    Member* member = members_[i].get();
    if (member == nullptr || member->port->name() != name) continue;
    if (member->descriptor >= 0) {
      epoll_event none{};
      sys::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, member->descriptor, &none);
    }
    for (const mem::FrameDesc& desc : member->pending) member->pool->free(desc.slot);
    table_.forget(i);
    members_[i].reset();
    update_caps();
    return true;
  }
  return false;
}

std::vector<std::string> Bridge::remove_gone() {
  std::vector<std::string> gone;
  for (const auto& member : members_) {
    if (!member || member->descriptor < 0) continue;
    pollfd look{member->descriptor, 0, 0};
    if (sys::poll(&look, 1, 0) > 0 && (look.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
      gone.emplace_back(member->port->name());
    }
  }
  for (const std::string& name : gone) remove(name);
  return gone;
}

std::size_t Bridge::size() const {
  return static_cast<std::size_t>(
      std::count_if(members_.begin(), members_.end(), [](const auto& m) { return m != nullptr; }));
}

bool Bridge::must_be_polled() const {
  return std::any_of(members_.begin(), members_.end(),
                     [](const auto& m) { return m != nullptr && m->descriptor < 0; });
}

std::vector<std::string> Bridge::describe() const {
  std::vector<std::string> lines;
  for (const auto& member : members_) {
    if (!member) continue;
    const port::PortCounters& c = member->port->counters();
    std::string line =
        fmt::format("{}: in {}, out {}", member->port->name(), c.rx_frames, c.tx_frames);
    if (member->options.vlan != 0) line += fmt::format(", vlan {}", member->options.vlan);
    const std::uint64_t lost = c.rx_no_frame + c.rx_too_long + c.rx_bad + c.tx_bad + c.tx_error;
    if (lost != 0) {
      line += fmt::format(", lost {} (no frame {}, too long {}, bad {}, refused {})", lost,
                          c.rx_no_frame, c.rx_too_long, c.rx_bad + c.tx_bad, c.tx_error);
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

/// The first member's address is the hosts'; the smallest MTU is everybody's.
void Bridge::update_caps() {
  port::Caps caps;
  bool first = true;
  for (const auto& member : members_) {
    if (!member) continue;
    const port::Caps& its = member->port->caps();
    if (first) caps.mac = its.mac;
    caps.mtu = first ? its.mtu : std::min(caps.mtu, its.mtu);
    first = false;
  }
  if (first) caps.mac = caps_.mac;  // the last one is gone: who knew us may find us again
  caps.max_frame = kMostFrame;
  caps.tx_checksum = true;
  caps.tx_gso = true;
  caps_ = caps;
}

void Bridge::flush(Member& member) {
  if (member.pending.empty()) return;
  const std::size_t taken = member.port->tx_burst(member.pending);
  member.pending.erase(member.pending.begin(),
                       member.pending.begin() + static_cast<std::ptrdiff_t>(taken));
}

std::size_t Bridge::reclaim() {
  std::size_t freed = 0;
  for (auto& member : members_) {
    if (!member) continue;
    flush(*member);
    freed += member->port->reclaim();
  }
  return freed;
}

void Bridge::advance(base::Instant now) {
  now_ = now;
  for (auto& member : members_) {
    if (!member) continue;
    member->port->advance(now);
    flush(*member);
  }
}

base::Instant Bridge::next_deadline() const {
  base::Instant next = base::Instant::never();
  for (const auto& member : members_) {
    if (!member) continue;
    next = std::min(next, member->pending.empty() ? member->port->next_deadline() : now_);
  }
  return next;
}

Result<int> Bridge::arm() {
  // A link rings only for who has said that it sleeps.
  for (auto& member : members_) {
    if (member) static_cast<void>(member->port->arm());
  }
  return epoll_.get();
}

}  // namespace ringway::bridge
