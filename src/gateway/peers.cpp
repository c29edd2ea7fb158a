#include "gateway/peers.h"

#include <algorithm>

#include "base/sys.h"
#include "driver/link/link_memory.h"
#include "ring/barrier.h"

namespace ringway::gateway {

using base::Result;

namespace {

Result<stack::LinkParts> map_parts(control::Link& link) {
  auto memory = driver::LinkMemory::map(link.memory.get());
  if (!memory) return tl::unexpected(std::move(memory).error());
  auto mailbox = driver::MailboxMemory::map(link.mailbox.get());
  if (!mailbox) return tl::unexpected(std::move(mailbox).error());
  return stack::LinkParts{std::move(*memory), std::move(*mailbox), std::move(link.doorbell)};
}

}  // namespace

Peer* Peers::find(steering::StackId id) {
  const auto found = by_stack_.find(id.raw());
  return found == by_stack_.end() ? nullptr : peers_[found->second].get();
}

Peer* Peers::reach(steering::StackId id, base::Instant now) {
  if (Peer* known = find(id)) return known;
  if (now < retry_at_) return nullptr;
  auto memory = driver::LinkMemory::create();
  if (!memory) return nullptr;
  const base::UniqueFd fd(*memory);
  auto link = attachment_.client().open_link(attachment_.id(), id, fd.get());
  if (!link) {
    // A daemon that is stopped must not hold up the packets of those that we know already.
    if (link.error().code == base::ErrorCode::kTimeout) {
      retry_at_ = now + base::Duration::seconds(3);
    }
    return nullptr;
  }
  auto peer = install(std::move(*link));
  return peer ? *peer : nullptr;
}

void Peers::take(control::Link link) {
  if (find(link.peer) == nullptr) static_cast<void>(install(std::move(link)));
}

Result<Peer*> Peers::install(control::Link link) {
  const steering::Table& table = attachment_.table();
  const auto host_index = table.host_of_stack(link.peer);
  const auto host = host_index ? table.host(*host_index) : std::nullopt;
  if (!host) return base::fail(base::ErrorCode::kNotFound, "the stack has just ended");
  const auto free = std::find(peers_.begin(), peers_.end(), nullptr);
  if (free == peers_.end()) {
    return base::fail(base::ErrorCode::kExhausted, "a gateway has links to 1024 stacks at most");
  }
  auto parts = map_parts(link);
  if (!parts) return tl::unexpected(std::move(parts).error());
  auto peer = std::make_unique<Peer>();
  peer->index = static_cast<std::uint16_t>(free - peers_.begin());
  peer->id = link.peer;
  peer->ipv4 = host->ipv4;
  peer->ipv6 = host->ipv6;
  peer->dies_at = base::Instant::never();
  peer->life = std::move(link.life);
  State& state = attachment_.state();
  stack::LinkState& link_state = state.links[peer->index];
  link_state = {};
  link_state.peer = link.peer;
  link_state.number = link.number;
  link_state.status = stack::LinkState::kUp;
  link_state.send_direction = link.side == 0 ? 0 : 1;
  link_state.receive_direction = link.side == 0 ? 1 : 0;
  peer->link =
      std::make_unique<stack::Link>(link_state, std::move(*parts), nullptr, nullptr, peer->index);
  epoll_event event{};
  event.data.u64 = tag_ + peer->index;  // a hang-up is always told
  base::sys::epoll_ctl(epoll_, EPOLL_CTL_ADD, peer->life.get(), &event);
  by_stack_[link.peer.raw()] = peer->index;
  state.counters.add(Count::kLinksUp);
  // It may have sent before it knew which bit to mark; after the barrier its frame is in view.
  ring::AsymmetricBarrier::heavy();
  attachment_.mailbox().mark(peer->index);
  *free = std::move(peer);
  return free->get();
}

void Peers::hung_up(std::uint32_t index, base::Instant now) {
  Peer* peer = at(index);
  if (peer == nullptr || !peer->dies_at.is_never()) return;
  epoll_event none{};
  base::sys::epoll_ctl(epoll_, EPOLL_CTL_DEL, peer->life.get(), &none);
  peer->life.reset();
  peer->dies_at = now + kLongestEnd;
  attachment_.mailbox().mark(peer->index);
  next_sweep_ = std::min(next_sweep_, now + kSweep);
}

void Peers::gone(const control::PeerGone& gone, base::Instant now) {
  Peer* peer = find(gone.peer);
  if (peer == nullptr || attachment_.state().links[peer->index].number != gone.link) return;
  hung_up(peer->index, now);
  // Its last frames are still to be read; nobody writes any more.
  if (gone.how != control::proto::Gone::kReaped) peer->dies_at = now;
}

void Peers::sweep(base::Instant now) {
  next_sweep_ = base::Instant::never();
  for (auto& slot : peers_) {
    if (slot == nullptr || slot->dies_at.is_never()) continue;
    const bool ended =
        now >= slot->dies_at || !attachment_.table().host_of_stack(slot->id).has_value();
    const bool overdue = now >= slot->dies_at + base::Duration::seconds(1);
    if (overdue || (ended && !slot->link->receiver().ready())) {
      drop(*slot);
      continue;
    }
    if (ended) attachment_.mailbox().mark(slot->index);
    next_sweep_ = now + kSweep;
  }
}

void Peers::drop(Peer& peer) {
  State& state = attachment_.state();
  state.links[peer.index].status = stack::LinkState::kFree;
  state.counters.add(Count::kLinksDown);
  by_stack_.erase(peer.id.raw());
  peers_[peer.index].reset();
}

}  // namespace ringway::gateway
