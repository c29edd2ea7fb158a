// A program image takes another one's place: what it holds goes over, or is given up.

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"
#include "runtime/attendance.h"
#include "runtime/impl.h"

namespace ringway::runtime {

std::uint64_t inode_of(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

StackHandover describe(const LocalStack& local) {
  StackHandover out;
  out.inode = inode_of(local.stack->arena().fd());
  out.number = local.number;
  out.holder = local.holder;
  out.fds[StackHandover::kArena] = local.stack->arena().fd();
  out.fds[StackHandover::kMailbox] = local.mailbox_fd.get();
  out.fds[StackHandover::kDoorbell] = local.doorbell.get();
  out.fds[StackHandover::kLifeRead] = local.life_read.get();
  out.fds[StackHandover::kLifeWrite] = local.life_write.get();
  out.fds[StackHandover::kPostRead] = local.post_read.get();
  out.fds[StackHandover::kPostWrite] = local.post_write.get();
  static_assert(StackHandover::kBells == LocalStack::kHolderBells);
  for (std::size_t i = 0; i < StackHandover::kBells; ++i)
    out.fds[StackHandover::kFirstBell + i] = local.holder_bells[i].get();
  return out;
}

namespace {

bool has_other_holders(LocalStack& local) {
  const Entry entry(local);
  const auto& holders = local.state().holders;
  for (std::uint32_t h = 0; h < stack::kMaxHolders; ++h) {
    if (holders[h].used != 0 && h != local.holder) return true;
  }
  return false;
}

}  // namespace

std::vector<StackHandover> Impl::before_exec(std::span<const SocketId> kept) {
  std::vector<StackHandover> handed;
  for (std::uint32_t i = 0; i < arena_count(); ++i) {
    LocalStack& local = arena(i);
    if (local.holder_bit == 0) continue;
    const bool keeps =
        std::any_of(kept.begin(), kept.end(), [i](const SocketId& id) { return id.arena == i; });
    if (keeps || (local.own && has_other_holders(local))) {
      handed.push_back(describe(local));
    } else if (!local.own) {
      Entry entry(local);
      drop_holds(local, local.holder_bit, entry.now());
      local.state().holders[local.holder] = {};
      local.holder_bit = 0;
    }
    // An own stack that nobody else holds ends with its life pipe, as at the death of a process.
  }
  // A thread that vanished inside a stack would poison it.
  keeper_stopped_ = keeper_.running();
  keeper_.stop();
  return handed;
}

void Impl::after_failed_exec() {
  // Sockets that were given up stay so: a child whose execve failed has only to say so and to end.
  if (keeper_stopped_) ensure_keeper();
}

base::Result<std::unique_ptr<LocalStack>> Impl::open_stack(const StackHandover& handed) {
  auto local = std::make_unique<LocalStack>();
  std::array<base::UniqueFd, StackHandover::kFds> fds;
  for (std::size_t i = 0; i < fds.size(); ++i) fds[i].reset(handed.fds[i]);
  auto mailbox = driver::MailboxMemory::map(fds[StackHandover::kMailbox].get());
  if (!mailbox) return tl::unexpected(mailbox.error());
  auto stack = stack::Stack::open(fds[StackHandover::kArena].release());
  if (!stack) return tl::unexpected(stack.error());
  local->mailbox = std::move(*mailbox);
  local->mailbox_fd = std::move(fds[StackHandover::kMailbox]);
  local->doorbell = std::move(fds[StackHandover::kDoorbell]);
  local->life_read = std::move(fds[StackHandover::kLifeRead]);
  local->life_write = std::move(fds[StackHandover::kLifeWrite]);
  local->post_read = std::move(fds[StackHandover::kPostRead]);
  local->post_write = std::move(fds[StackHandover::kPostWrite]);
  for (std::size_t i = 0; i < StackHandover::kBells; ++i)
    local->holder_bells[i] = std::move(fds[StackHandover::kFirstBell + i]);
  local->stack = std::move(*stack);
  local->sockets = std::make_unique<socket::Sockets>(*local->stack);
  local->stack->set_mailbox(local->mailbox.get());
  local->id = local->state().id;
  return local;
}

std::uint32_t Impl::add_arena(std::unique_ptr<LocalStack> local) {
  const std::uint32_t number = arena_count_.load(std::memory_order_relaxed);
  local->number = number;
  arenas_[number] = std::move(local);
  arena_count_.store(number + 1, std::memory_order_release);
  return number;
}

void Impl::take_over(std::span<const StackHandover> handed, std::span<const SocketId> kept) {
  for (const StackHandover& stack : handed) {
    if (arena_count() == kMaxArenas) break;
    auto opened = open_stack(stack);
    if (!opened) continue;  // of another build: its sockets are dead
    std::unique_ptr<LocalStack> local = std::move(*opened);
    const auto& holders = local->state().holders;
    const bool ours = stack.holder < stack::kMaxHolders &&
                      holders[stack.holder].pid == static_cast<std::uint32_t>(getpid());
    local->holder = ours ? stack.holder : stack::kMaxHolders;
    local->holder_bit = ours ? std::uint64_t{1} << stack.holder : 0;
    listen_for_bell(*local);
    const std::uint32_t number = add_arena(std::move(local));
    {
      // From now on the daemon tells this image of new links and lost peers.
      const ControlScope control(*this);
      static_cast<void>(client_for(arena(number)));
    }
    map_missing_links(arena(number));
    forget_old_image(arena(number), kept);
  }
  // The new program may never look at what it got; its peers must be answered all the same.
  if (arena_count() != 0) ensure_keeper();
}

void Impl::forget_old_image(LocalStack& local, std::span<const SocketId> kept) {
  std::vector<SocketId> closed;
  {
    Entry entry(local);
    stack::SocketTables& tables = local.state().sockets;
    for (std::uint32_t i = 1; i <= tables.sockets.high_water(); ++i) {
      const stack::Socket& s = tables.sockets[i];
      const SocketId id{i, s.generation, local.number};
      if (s.kind == stack::SocketKind::kFree || (s.holders & local.holder_bit) == 0) continue;
      if (std::find(kept.begin(), kept.end(), id) == kept.end()) closed.push_back(id);
    }
    for (std::uint32_t i = 1; i <= tables.sets.high_water(); ++i) {
      if ((tables.sets[i].holders & local.holder_bit) == 0) continue;
      if (entry.sockets().sets().drop_holder(i, local.holder_bit))
        entry.sockets().sets().destroy(i);
    }
    // No thread of the old image waits any more. One may have been the one who attended: then
    // nobody does until somebody looks again.
    const auto self = static_cast<std::uint32_t>(getpid());
    if (Attendance::forget(local, self)) keeper_.expect_absence();
    for (std::uint32_t w = 0; w < stack::kMaxWaiters; ++w) {
      if (tables.waiters[w].pid != self) continue;
      tables.waiters[w] = {};
      tables.waiters_in_use &= ~(std::uint64_t{1} << w);
    }
  }
  for (const SocketId& id : closed) release_in(local, id);
}

}  // namespace ringway::runtime
