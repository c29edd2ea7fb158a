#include "tests/scenario/stack_host.h"

#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace ringway::scenario {

namespace {

/// How long turns that receive may leave the timers alone (stack/stack.cpp).
constexpr base::Duration kTimerGrain = base::Duration::microseconds(100);

}  // namespace

StackHost::StackHost(std::uint16_t number) : number_(number) {
  stack::StackConfig config;
  config.id = {number, 1};
  config.address_v4 = address(false);
  config.address_v6 = address(true);
  config.mac = {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(number)}};
  config.seed = number;
  config.program = "scenario";
  stack_ = std::move(*stack::Stack::create(config));
  mailbox_fd_ = base::UniqueFd(*driver::MailboxMemory::create());
  mailbox_ = std::move(*driver::MailboxMemory::map(mailbox_fd_.get()));
  stack_->set_mailbox(mailbox_.get());
  sockets_ = std::make_unique<socket::Sockets>(*stack_);
  set_ = sockets_->sets().create(kHolder);
  for (const auto protocol : {steering::Protocol::kTcp, steering::Protocol::kUdp}) {
    stack_->add_port_block(protocol, {30'000, 2000});
  }
}

base::IpAddress StackHost::address(bool v6) const {
  if (!v6) return base::IpAddress::v4(10, 0, 0, static_cast<std::uint8_t>(number_));
  return *base::parse_ip(fmt::format("fd00::{}", number_));
}

void StackHost::add_link(driver::LinkEnd end, const StackHost& peer, bool wire) {
  stack::LinkParts parts{std::move(*driver::LinkMemory::map(end.memory.get())),
                         std::move(*driver::MailboxMemory::map(end.peer_mailbox.get())),
                         std::move(end.peer_doorbell)};
  const auto added = stack_->add_link({.parts = std::move(parts),
                                       .peer = peer.stack_->state().id,
                                       .number = peer.number_,
                                       .made_here = end.made_here,
                                       .gateway = wire});
  if (!added) std::abort();
}

bool StackHost::busy() const {
  return touched_ || stack_->has_input() || stack_->has_events() || stack_->tcp().has_output() ||
         stack_->udp().has_output();
}

base::Instant StackHost::next_event() const {
  // A turn takes a microsecond, so that no host can stop the time.
  if (busy()) return last_turn_ + base::Duration::microseconds(1);
  base::Instant next = stack_->next_deadline();
  // Something waits for room: look again soon, as a runtime would that has no bell for it.
  if (stack_->tcp().blocked()) next = std::min(next, last_turn_ + base::Duration::microseconds(10));
  for (const SocketApp* app : apps_) next = std::min(next, app->next_event());
  return next;
}

void StackHost::act(base::Instant now) {
  touched_ = false;
  last_turn_ = now;
  stack_->turn(now);
  // A timer wheel that nothing was due in for long may give a time that has passed, and turns that
  // receive leave the timers alone for a while: the first turn after that puts it right.
  if (stack_->next_deadline() >= now) {
    stale_since_ = base::Instant::never();
  } else if (stale_since_.is_never()) {
    stale_since_ = now;
  } else if (now - stale_since_ >= kTimerGrain) {
    ++stale_deadlines_;
  }
  sockets_->drain_events();
  std::array<epoll_event, 32> events;
  const int n = sockets_->sets().collect(
      set_, events, [this](std::uint32_t socket) { return sockets_->readiness(socket); });
  for (int i = 0; i < n; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    const auto app = watched_.find(static_cast<std::uint32_t>(event.data.u64));
    // Closed by an application that heard of an earlier event.
    if (app != watched_.end()) app->second->on_ready(app->first, event.events, now);
  }
  // By number: an application may add others.
  for (std::size_t i = 0; i < apps_.size(); ++i) {
    if (apps_[i]->next_event() <= now) apps_[i]->on_time(now);
  }
  stack_->flush();
  stack_->bells().clear();
  if (n == static_cast<int>(events.size())) touched_ = true;
}

void StackHost::watch(std::uint32_t socket, SocketApp& app) {
  watched_[socket] = &app;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = socket;
  sockets_->sets().control(set_, EPOLL_CTL_ADD, socket, 0, event, sockets_->readiness(socket));
  touched_ = true;
}

void StackHost::close(std::uint32_t socket, base::Instant now) {
  watched_.erase(socket);
  sockets_->release(socket, kHolder, now);
  touched_ = true;
}

std::uint32_t StackHost::path_to(const StackHost& peer, bool v6) {
  const std::uint16_t link = stack_->link_to(peer.stack_->state().id);
  return stack_->path_for(link, address(v6), peer.address(v6));
}

std::uint32_t StackHost::connect(const StackHost& peer, std::uint16_t port, bool v6,
                                 const tcp::Options& options, base::Instant now) {
  const base::Endpoint remote{peer.address(v6), port};
  const base::Endpoint local{address(v6),
                             stack_->choose_port(steering::Protocol::kTcp, address(v6), remote)};
  if (local.port == 0) return 0;
  const std::uint32_t socket = sockets_->create(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, kHolder);
  sockets_->at(socket).options = options;
  const int result = sockets_->connect(socket, local, remote, path_to(peer, v6), now);
  if (result != -EINPROGRESS) std::abort();
  return socket;
}

std::string StackHost::leaks() const {
  const stack::StackState& state = stack_->state();
  std::string s;
  const auto expect = [&](const char* what, std::uint64_t is, std::uint64_t should) {
    if (is != should) s += fmt::format(" {} {} of {}", what, is, should);
  };
  expect("frames in use", state.frame_pool.in_use, 1);  // frame 0 is never given out
  expect("cells", state.cells.in_use(), 0);
  expect("connections", state.tcp.connections.in_use(), 0);
  expect("sockets", state.sockets.sockets.in_use(), 0);
  expect("items", state.sockets.items.in_use(), 0);
  expect("stale deadlines", stale_deadlines_, 0);
  for (std::uint32_t i = 0; i < state.link_high; ++i) {
    const stack::LinkState& link = state.links[i];
    expect("kept frames of a peer", link.receiver.kept, 0);
    expect("bad descriptors", link.receiver.bad_descs, 0);
    expect("bad returns", link.sender.bad_returns, 0);
  }
  return s.empty() ? s : fmt::format("host {}:{}", number_, s);
}

}  // namespace ringway::scenario
