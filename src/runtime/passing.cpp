// Sockets on their way to another process (SCM_RIGHTS).

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/sys.h"
#include "runtime/impl.h"

namespace ringway::runtime {

namespace {

/// An arena can be written by whoever has it: it must come from this user, or from root.
bool may_be_trusted(int arena) {
  struct stat status {};
  return fstat(arena, &status) == 0 && (status.st_uid == geteuid() || status.st_uid == 0);
}

void take_holder_slot(LocalStack& local) {
  Entry entry(local);
  auto& holders = local.state().holders;
  for (std::uint32_t h = 0; local.holder_bit == 0 && h < stack::kMaxHolders; ++h) {
    if (holders[h].used != 0) continue;
    holders[h] = {static_cast<std::uint32_t>(getpid()), 1};
    local.holder = h;
    local.holder_bit = std::uint64_t{1} << h;
    listen_for_bell(local);
    ++local.state().strangers;
    entry.wake_attendant();  // a keeper elsewhere is to watch this process
  }
}

}  // namespace

bool Impl::pass(SocketId s, StackHandover* out) {
  LocalStack& local = arena(s.arena);
  Entry entry(local);
  stack::Socket* socket = entry.find(s.index, s.generation);
  if (socket == nullptr || socket->passing == UINT8_MAX) return false;
  make_holder_bells(local);
  socket->passing++;
  socket->holders |= stack::kPassing;
  *out = describe(local);
  return true;
}

void Impl::watch_passed(SocketId s, base::UniqueFd end) {
  ensure_keeper();
  base::UniqueFd high = high_fd(std::move(end));
  const int fd = high.get();
  {
    const std::lock_guard guard(watched_mutex_);
    passed_.emplace(fd, Passed{s, std::move(high)});
  }
  keeper_.watch_passed(fd);
}

void Impl::passing_ended(int fd) {
  Passed passed;
  {
    const std::lock_guard guard(watched_mutex_);
    const auto at = passed_.find(fd);
    if (at == passed_.end()) return;
    passed = std::move(at->second);
    passed_.erase(at);
  }
  keeper_.unwatch(fd);
  char word = 0;
  if (base::sys::read(fd, &word, 1) != 1) not_taken(passed.socket);
  watch_holders(Whom::kAll);  // it may be a process that nobody else knows
}

void Impl::not_taken(SocketId s) {
  LocalStack& local = arena(s.arena);
  bool last = false;
  {
    Entry entry(local);
    stack::Socket* socket = entry.find(s.index, s.generation);
    if (socket == nullptr || socket->passing == 0 || --socket->passing != 0) return;
    socket->holders &= ~stack::kPassing;
    last = socket->holders == 0;
    if (last) socket->holders = local.holder_bit;
  }
  if (last) release_in(local, s);
}

std::uint32_t Impl::arena_of(std::uint64_t inode) const {
  for (std::uint32_t i = 0; i < arena_count(); ++i) {
    if (inode_of(arenas_[i]->stack->arena().fd()) == inode) return i;
  }
  return kMaxArenas;
}

std::uint32_t Impl::arena_for(StackHandover handed) {
  const std::lock_guard guard(setup_mutex_);
  for (std::int32_t& fd : handed.fds) fd = high_fd(base::UniqueFd(fd)).release();
  const auto give_up = [&] {
    for (const int fd : handed.fds) base::UniqueFd(fd).reset();
  };
  const std::uint32_t known = arena_of(handed.inode);
  const int memory = handed.fds[StackHandover::kArena];
  if (known != kMaxArenas || arena_count() == kMaxArenas || !may_be_trusted(memory) ||
      inode_of(memory) != handed.inode) {
    give_up();
    return known;
  }
  auto opened = open_stack(handed);
  return opened ? add_arena(std::move(*opened)) : kMaxArenas;
}

int Impl::take(const StackHandover& handed, SocketId* s) {
  const std::uint32_t number = arena_for(handed);
  if (number == kMaxArenas) return -ENFILE;
  LocalStack& local = arena(number);
  s->arena = number;
  take_holder_slot(local);
  if (local.holder_bit == 0) return -ENFILE;
  {
    const Entry entry(local);
    auto& sockets = local.state().sockets.sockets;
    if (s->index == 0 || s->index > sockets.high_water()) return -EBADF;
    stack::Socket& socket = sockets[s->index];
    if (socket.generation != s->generation || socket.passing == 0) return -EBADF;
    socket.holders |= local.holder_bit;
    if (--socket.passing == 0) socket.holders &= ~stack::kPassing;
  }
  {
    const ControlScope control(*this);
    static_cast<void>(client_for(local));
  }
  map_missing_links(local);
  ensure_keeper();
  watch_holders();
  return 0;
}

}  // namespace ringway::runtime
