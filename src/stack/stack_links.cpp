// Links of a stack: made, mapped, taken down.

#include <cerrno>

#include "stack/stack.h"

namespace ringway::stack {

base::Result<std::uint16_t> Stack::add_link(NewLink link) {
  std::uint16_t index = 0;
  while (index < kMaxLinks && state_->links[index].status != LinkState::kFree) ++index;
  if (index == kMaxLinks) {
    return base::fail(base::ErrorCode::kExhausted, "this program has links to 1024 others already");
  }
  LinkState& state = state_->links[index];
  state = LinkState{};
  state.peer = link.peer;
  state.number = link.number;
  state.send_direction = link.made_here ? 0 : 1;
  state.receive_direction = link.made_here ? 1 : 0;
  if (link.to_self) state.receive_direction = 0;
  state.gateway = link.gateway ? 1 : 0;
  if (index >= state_->link_high) state_->link_high = index + 1U;
  change_links();
  state.generation = state_->links_generation;
  state.status = LinkState::kUp;
  capture_.begin(index);
  install(index, std::move(link.parts));
  state_->counters.add(Count::kLinksUp);
  return index;
}

void Stack::map_link(std::uint16_t index, LinkParts parts) { install(index, std::move(parts)); }

void Stack::install(std::uint16_t index, LinkParts parts) {
  retire(index);
  links_[index] =
      std::make_unique<Link>(state_->links[index], std::move(parts), &room_made_, &touched_, index);
  tx_[index] = &links_[index]->tx();
  visible_[index].store(links_[index].get(), std::memory_order_release);
  regions_.set(1U + index, links_[index]->receiver().view());
  // The peer may have sent before it knew which bit to mark.
  if (mailbox_ != nullptr) mailbox_->mark(index);
}

std::uint16_t Stack::link_to(steering::StackId peer) const {
  for (std::uint16_t i = 0; i < state_->link_high; ++i) {
    const LinkState& link = state_->links[i];
    if (link.status == LinkState::kUp && link.peer == peer) return i;
  }
  return kNoLink;
}

void Stack::collect_unmapped(std::vector<std::uint16_t>& out) {
  out.clear();
  for (std::uint16_t i = 0; i < state_->link_high; ++i) {
    if (state_->links[i].status == LinkState::kUp && links_[i] == nullptr) out.push_back(i);
  }
  __atomic_store_n(&links_generation_, state_->links_generation, __ATOMIC_RELAXED);
}

void Stack::take_link_down(std::uint16_t index, base::Instant now) {
  LinkState& link = state_->links[index];
  if (link.status != LinkState::kUp) return;
  if (links_[index] != nullptr) {
    // The ring holds no more than this; a peer that goes on sending is not waited for.
    poll_link(index, ring::kSlots, now);
  }
  link.status = LinkState::kDown;
  state_->counters.add(Count::kLinksDown);
  for (std::uint32_t i = 0; i < state_->hot_count; ++i) {
    if (state_->hot[i] != index) continue;
    cool(i);
    break;
  }
  for (std::uint32_t i = 1; i <= state_->paths.slab.high_water(); ++i) {
    port::Path& path = state_->paths.slab[i];
    if (path.port != index || path.header_length == 0 || (path.flags & port::kPathDown) != 0)
      continue;
    path.flags |= port::kPathDown;
    tcp_.path_failed(i, ECONNRESET, now);
    udp_.path_failed(i, ECONNREFUSED);
  }
  release_down_links();
}

bool Stack::owes() const {
  const auto& connections = state_->tcp.connections;
  for (std::uint32_t i = 1; i <= connections.high_water(); ++i) {
    const tcp::Connection& c = connections[i];
    if ((c.flags & (tcp::kInFlowTable | tcp::kReliable)) != tcp::kInFlowTable) continue;
    // Of the states that outlive a close, these two wait for the peer only.
    const bool done = c.state == tcp::State::kClosed || c.state == tcp::State::kFinWait2 ||
                      c.state == tcp::State::kTimeWait;
    if (!done) return true;
  }
  return false;
}

bool Stack::lingers() const {
  const auto& connections = state_->tcp.connections;
  for (std::uint32_t i = 1; i <= connections.high_water(); ++i) {
    const tcp::Connection& c = connections[i];
    const bool behind_gateway =
        (c.flags & (tcp::kInFlowTable | tcp::kReliable)) == tcp::kInFlowTable;
    if (behind_gateway && c.state != tcp::State::kClosed) return true;
  }
  return false;
}

void Stack::release_down_links() {
  for (std::uint16_t i = 0; i < state_->link_high; ++i) {
    LinkState& link = state_->links[i];
    if (link.status != LinkState::kDown) continue;
    // Its memory is needed until the last frame of it has been read.
    if (link.receiver.kept != 0) continue;
    retire(i);
    forget_paths(i);
    link.status = LinkState::kFree;
    change_links();
  }
  bury();
}

void Stack::change_links() {
  const bool all_mapped = links_generation_ == state_->links_generation;
  const bool followed = followed_generation_ == state_->links_generation;
  const std::uint32_t generation = state_->links_generation + 1;
  __atomic_store_n(&state_->links_generation, generation, __ATOMIC_RELAXED);
  if (all_mapped) __atomic_store_n(&links_generation_, generation, __ATOMIC_RELAXED);
  if (followed) followed_generation_ = state_->links_generation;
}

void Stack::drop_stale_links() {
  for (std::uint16_t i = 0; i < state_->link_high; ++i) {
    if (links_[i] == nullptr) continue;
    const LinkState& link = state_->links[i];
    if (link.status == LinkState::kFree || link.generation != links_[i]->generation()) retire(i);
  }
  followed_generation_ = state_->links_generation;
  bury();
}

void Stack::retire(std::uint16_t index) {
  if (links_[index] == nullptr) return;
  tx_[index] = nullptr;
  visible_[index].store(nullptr, std::memory_order_release);
  regions_.clear(1U + index);
  retired_.push_back(std::move(links_[index]));
}

void Stack::bury() {
  if (retired_.empty() || !bells_.empty() || Looker::any()) return;
  retired_.clear();
}

}  // namespace ringway::stack
