#include "reaper/reaper.h"

#include <time.h>

#include <algorithm>

#include "base/sys.h"
#include "mem/lock.h"
#include "ring/barrier.h"

namespace ringway::reaper {

using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

namespace {

Result<stack::LinkParts> map_parts(const LinkArgument& link) {
  const UniqueFd memory_fd(link.memory);
  const UniqueFd mailbox_fd(link.mailbox);
  UniqueFd doorbell(link.doorbell);
  auto memory = driver::LinkMemory::map(memory_fd.get());
  if (!memory) return tl::unexpected(std::move(memory).error());
  auto mailbox = driver::MailboxMemory::map(mailbox_fd.get());
  if (!mailbox) return tl::unexpected(std::move(mailbox).error());
  return stack::LinkParts{std::move(*memory), std::move(*mailbox), std::move(doorbell)};
}

}  // namespace

Reaper::Reaper(std::unique_ptr<stack::Stack> stack, driver::MailboxMemory mailbox,
               UniqueFd doorbell)
    : stack_(std::move(stack)),
      sockets_(*stack_),
      mailbox_(std::move(mailbox)),
      doorbell_(std::move(doorbell)) {
  stack_->set_mailbox(mailbox_.get());
  stack_->wake(*mailbox_.get());
}

Result<std::unique_ptr<Reaper>> Reaper::open(const Arguments& arguments) {
  auto stack = stack::Stack::open(arguments.arena);
  if (!stack) return tl::unexpected(std::move(stack).error());
  const UniqueFd mailbox_fd(arguments.mailbox);
  auto mailbox = driver::MailboxMemory::map(mailbox_fd.get());
  if (!mailbox) return tl::unexpected(std::move(mailbox).error());
  std::unique_ptr<Reaper> reaper(
      new Reaper(std::move(*stack), std::move(*mailbox), UniqueFd(arguments.doorbell)));
  ring::AsymmetricBarrier::enrol();
  const mem::LockGuard guard(reaper->stack_->state().header.lock);
  const base::Instant now = reaper->now();
  if (guard.owner_died() && reaper->stack_->state().changing != 0)
    reaper->stack_->state().header.poisoned = 1;
  reaper->map_links(arguments, now);
  reaper->close_all(now);
  return reaper;
}

/// Time never goes back within an arena.
base::Instant Reaper::now() const {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  const base::Instant real{time.tv_sec * 1'000'000'000 + time.tv_nsec};
  const auto last = static_cast<std::int64_t>(stack_->state().last_turn_ns);
  return {std::max(real.ns, last)};
}

void Reaper::map_links(const Arguments& arguments, base::Instant now) {
  stack::StackState& state = stack_->state();
  const std::uint32_t high = std::min(state.link_high, stack::kMaxLinks);
  for (std::uint32_t i = 0; i < high; ++i) {
    const stack::LinkState& link = state.links[i];
    const auto index = static_cast<std::uint16_t>(i);
    if (link.status != stack::LinkState::kUp) continue;
    const auto given = std::find_if(arguments.links.begin(), arguments.links.end(),
                                    [&](const LinkArgument& a) { return a.number == link.number; });
    bool mapped = false;
    if (link.gateway != 0 && given != arguments.links.end()) {
      if (auto parts = map_parts(*given)) {
        stack_->map_link(index, std::move(*parts));
        lives_.push_back({UniqueFd(given->life), index});
        mapped = true;
      }
    }
    if (!mapped) stack_->take_link_down(index, now);
  }
}

void Reaper::close_all(base::Instant now) {
  stack::StackState& state = stack_->state();
  if (state.header.poisoned != 0) {
    stack_->poison(now);
    return;
  }
  auto& sockets = state.sockets.sockets;
  for (std::uint32_t i = 1; i <= sockets.high_water(); ++i) {
    if (sockets[i].kind != stack::SocketKind::kFree) sockets_.release(i, ~std::uint64_t{0}, now);
  }
}

bool Reaper::turn(base::Instant now) {
  stack_->turn(now);
  sockets_.drain_events();
  for (const int bell : stack_->bells()) {
    const std::uint64_t one = 1;
    sys::write(bell, &one, sizeof one);
  }
  stack_->bells().clear();
  return stack_->lingers();
}

void Reaper::run() {
  const base::Instant end = now() + kLongest;
  for (;;) {
    const base::Instant time = now();
    if (time >= end) return;
    {
      const mem::LockGuard guard(stack_->state().header.lock);
      if (!turn(time)) return;
      if (stack_->has_input() || !stack_->prepare_sleep(*mailbox_.get())) continue;
    }
    sleep(time, end);
    stack_->wake(*mailbox_.get());
  }
}

void Reaper::sleep(base::Instant now, base::Instant end) {
  std::vector<pollfd> fds{{doorbell_.get(), POLLIN, 0}};
  for (const Life& life : lives_) fds.push_back({life.fd.get(), 0, 0});
  base::Instant until = std::min(end, stack_->next_deadline());
  if (stack_->tcp().blocked()) until = std::min(until, now + base::Duration::milliseconds(1));
  const std::int64_t left = std::max<std::int64_t>((until - now).ns, 0);
  timespec timeout{left / 1'000'000'000, left % 1'000'000'000};
  if (sys::ppoll(fds.data(), fds.size(), &timeout) <= 0) return;
  std::uint64_t count = 0;
  if (fds[0].revents != 0) sys::read(doorbell_.get(), &count, sizeof count);
  for (std::size_t i = fds.size(); i-- > 1;) {
    if (fds[i].revents == 0) continue;
    const mem::LockGuard guard(stack_->state().header.lock);
    stack_->take_link_down(lives_[i - 1].link, now);
    lives_.erase(lives_.begin() + static_cast<std::ptrdiff_t>(i - 1));
  }
}

}  // namespace ringway::reaper
