// Links of this process's stacks: asked for, offered, fetched, lost.

#include <variant>

#include "base/sys.h"
#include "ring/barrier.h"
#include "runtime/impl.h"

namespace ringway::runtime {

namespace {

base::Result<stack::LinkParts> map_parts(control::Link& link) {
  auto memory = driver::LinkMemory::map(link.memory.get());
  if (!memory) return tl::unexpected(memory.error());
  auto mailbox = driver::MailboxMemory::map(link.mailbox.get());
  if (!mailbox) return tl::unexpected(mailbox.error());
  return stack::LinkParts{std::move(*memory), std::move(*mailbox),
                          high_fd(std::move(link.doorbell))};
}

}  // namespace

std::uint16_t Impl::link_to(LocalStack& local, steering::StackId peer) {
  {
    Entry entry(local);
    const std::uint16_t known = local.stack->link_to(peer);
    if (known != stack::Stack::kNoLink) return known;
  }
  const ControlScope control(*this);
  {
    Entry entry(local);  // another thread may have been faster
    const std::uint16_t known = local.stack->link_to(peer);
    if (known != stack::Stack::kNoLink) return known;
  }
  control::Client* c = client_for(local);
  if (c == nullptr) return stack::Stack::kNoLink;
  auto memory = driver::LinkMemory::create();
  if (!memory) return stack::Stack::kNoLink;
  const base::UniqueFd fd(*memory);
  auto link = c->open_link(local.id, peer, fd.get());
  if (!link) return stack::Stack::kNoLink;
  const auto index = take_link(local, std::move(*link));
  return index ? *index : stack::Stack::kNoLink;
}

base::Result<std::uint16_t> Impl::take_link(LocalStack& local, control::Link link) {
  auto parts = map_parts(link);
  if (!parts) return tl::unexpected(parts.error());
  const bool gateway = table()->gateway() == link.peer;
  base::UniqueFd life = high_fd(std::move(link.life));
  const bool to_self = link.peer == local.id;
  Entry entry(local);
  const std::uint16_t known = local.stack->link_to(link.peer);
  if (known != stack::Stack::kNoLink) {
    if (!local.stack->mapped(known) && local.state().links[known].number == link.number)
      local.stack->map_link(known, std::move(*parts));
    return known;
  }
  auto index = local.stack->add_link({.parts = std::move(*parts),
                                      .peer = link.peer,
                                      .number = link.number,
                                      .made_here = link.side == 0,
                                      .to_self = to_self,
                                      .gateway = gateway});
  if (index && !to_self) {
    forget_peer(local, *index);
    keeper_.watch_peer(life.get(), local.number, *index);
    local.peer_life[*index] = std::move(life);
    local.peer_life_of[*index] = local.state().links[*index].generation;
  }
  // The peer may have sent already, with a mark that meant nothing yet, and whoever waits here
  // sleeps: after the barrier it either sees our mark bit or its frame is in view.
  ring::AsymmetricBarrier::heavy();
  entry.turn();
  if (local.stack->has_input()) entry.wake_attendant();
  return index;
}

void Impl::unlock_control() {
  if (client_ && keeper_.running()) {
    // A request that met a daemon's end has gone to its successor.
    if (keeper_.control_session() != client_->session()) {
      control_lost_ = false;
      keeper_.watch_control(client_->fd(), client_->session());
    }
    if (client_->has_events()) keeper_.attend_control();
  }
  control_mutex_.unlock();
}

void Impl::control_events() {
  const ControlScope control(*this);
  if (!client_) return;
  pollfd p{client_->fd(), POLLIN, 0};
  if (control_lost_ || (base::sys::poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0)) {
    // The daemon is gone; connections go on without it, and one of us starts its successor.
    keeper_.watch_control(-1, client_->session());
    control_lost_ = !client_->reconnect();
    if (control_lost_) keeper_.retry_control();
    keeper_.watch_control(control_lost_ ? -1 : client_->fd(), client_->session());
  }
  while (auto event = client_->next_event()) {
    if (auto* offer = std::get_if<control::LinkOffer>(&*event)) {
      LocalStack* local = find_arena(offer->link.stack);
      if (local != nullptr) static_cast<void>(take_link(*local, std::move(offer->link)));
    } else if (auto* gone = std::get_if<control::PeerGone>(&*event)) {
      LocalStack* local = find_arena(gone->stack);
      if (local != nullptr) peer_gone(*local, gone->peer);
    } else if (auto* replaced = std::get_if<control::TableReplaced>(&*event)) {
      replace_table(std::move(replaced->table));
      lease_again();
    }
  }
}

void Impl::peer_gone(LocalStack& local, steering::StackId peer) {
  Entry entry(local);
  const std::uint16_t index = local.stack->link_to(peer);
  if (index == stack::Stack::kNoLink) return;
  drop_link(local, entry, index);
}

void Impl::peer_died(std::uint32_t arena_number, std::uint16_t link) {
  LocalStack& local = arena(arena_number);
  Entry entry(local);
  // The event may be of an earlier link of this slot, which was taken down and replaced by what
  // else the keeper heard at the same time.
  pollfd life{local.peer_life[link].get(), POLLIN, 0};
  if (life.fd < 0 || base::sys::poll(&life, 1, 0) <= 0) return;
  if (local.peer_life_of[link] == local.state().links[link].generation) {
    drop_link(local, entry, link);
  } else {
    forget_peer(local, link);  // another holder has taken the link down, and made a new one
  }
}

void Impl::forget_peer(LocalStack& local, std::uint16_t index) {
  if (!local.peer_life[index]) return;
  keeper_.unwatch(local.peer_life[index].get());
  local.peer_life[index].reset();
}

void Impl::drop_link(LocalStack& local, Entry& entry, std::uint16_t index) {
  forget_peer(local, index);
  local.stack->take_link_down(index, entry.now());
}

void Impl::map_missing_links(LocalStack& local) {
  std::vector<std::uint16_t> missing;
  std::vector<std::uint32_t> numbers;
  {
    Entry entry(local);
    local.stack->collect_unmapped(missing);
    for (const std::uint16_t index : missing) numbers.push_back(local.state().links[index].number);
  }
  if (missing.empty()) return;
  const ControlScope control(*this);
  control::Client* c = client_for(local);
  bool all = c != nullptr;
  for (std::size_t i = 0; c != nullptr && i < missing.size(); ++i) {
    all = map_missing_link(local, *c, missing[i], numbers[i]) && all;
  }
  if (all) return;
  local.fetch_failed = true;
  keeper_.retry_control();
}

bool Impl::map_missing_link(LocalStack& local, control::Client& c, std::uint16_t index,
                            std::uint32_t number) {
  const auto wanted = [&] {  // meanwhile another holder may have made a new link of the slot
    const stack::LinkState& state = local.state().links[index];
    return state.status == stack::LinkState::kUp && state.number == number &&
           !local.stack->mapped(index);
  };
  auto link = c.fetch_link(local.id, number);
  auto parts = link ? map_parts(*link) : tl::unexpected(link.error());
  Entry entry(local);
  if (!wanted()) return true;
  if (!parts) return false;
  const bool to_self = link->peer == local.id;
  local.stack->map_link(index, std::move(*parts));
  entry.wake_attendant();  // another holder may have left something there
  if (to_self) return true;
  forget_peer(local, index);
  local.peer_life[index] = high_fd(std::move(link->life));
  local.peer_life_of[index] = local.state().links[index].generation;
  keeper_.watch_peer(local.peer_life[index].get(), local.number, index);
  return true;
}

void Impl::fetch_links_again() {
  for (std::uint32_t i = 0; i < arena_count(); ++i) {
    if (arena(i).fetch_failed.exchange(false)) map_missing_links(arena(i));
  }
}

}  // namespace ringway::runtime
