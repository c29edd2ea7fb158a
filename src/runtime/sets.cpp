// Epoll sets over several arenas.

#include <cerrno>

#include "runtime/impl.h"

namespace ringway::runtime {

SetId Impl::set_create() {
  const std::lock_guard guard(sets_mutex_);
  for (std::uint32_t i = 1; i < kMaxSets; ++i) {
    if (sets_[i].used) continue;
    sets_[i] = SetParts{};
    sets_[i].used = true;
    return {i};
  }
  return {};
}

void Impl::set_destroy(SetId set) {
  const std::lock_guard guard(sets_mutex_);
  SetParts& parts = sets_[set.value];
  for (std::uint32_t i = 0; i < arena_count(); ++i) {
    if (parts.set[i] == 0) continue;
    Entry entry(arena(i));
    // A forked relative may still use its half: the set is shared, and the last one frees it.
    if (entry.sockets().sets().drop_holder(parts.set[i], arena(i).holder_bit)) {
      entry.sockets().sets().destroy(parts.set[i]);
    }
  }
  parts = SetParts{};
}

int Impl::set_control(SetId set, int op, SocketId s, int tag, const epoll_event& event) {
  LocalStack& local = arena(s.arena);
  const Clone* clone = op == EPOLL_CTL_DEL ? find_clone(s) : clone_of(s);
  if (clone != nullptr) {
    const int result = set_control(set, op, clone->own, tag, event);
    if (result != 0) return result;
  }
  bool announce = false;
  int result = 0;
  {
    Entry entry(local);
    stack::Socket* socket = entry.find(s.index, s.generation);
    if (socket == nullptr) return -EBADF;
    SetParts& parts = sets_[set.value];
    if (parts.set[s.arena] == 0) {
      parts.set[s.arena] = entry.sockets().sets().create(local.holder_bit);
      if (parts.set[s.arena] == 0) return -ENOMEM;
    }
    announce =
        local.own && socket->kind == stack::SocketKind::kListener && socket->listening_active == 0;
    const std::uint32_t ready = op == EPOLL_CTL_DEL ? 0 : entry.sockets().readiness(s.index);
    result = entry.sockets().sets().control(parts.set[s.arena], op, s.index, tag, event, ready);
  }
  if (announce) announce_active(local, s);
  return result;
}

int Impl::set_collect(SetId set, std::span<epoll_event> out) {
  const SetParts& parts = sets_[set.value];
  std::size_t n = 0;
  for (std::uint32_t i = 0; i < arena_count() && n < out.size(); ++i) {
    LocalStack& local = arena(i);
    if (parts.set[i] == 0) continue;
    if (local.stack->has_unmapped_links()) [[unlikely]]
      map_missing_links(local);
    Entry entry(local);
    entry.turn();
    auto& sockets = entry.sockets();
    n += static_cast<std::size_t>(
        sockets.sets().collect(parts.set[i], out.subspan(n),
                               [&sockets](std::uint32_t s) { return sockets.readiness(s); }));
  }
  return static_cast<int>(n);
}

bool Impl::set_ready(SetId set) {
  const SetParts& parts = sets_[set.value];
  for (std::uint32_t i = 0; i < arena_count(); ++i) {
    if (parts.set[i] == 0) continue;
    Entry entry(arena(i));
    entry.turn();
    auto& sockets = entry.sockets();
    if (sockets.sets().any_ready(parts.set[i],
                                 [&sockets](std::uint32_t s) { return sockets.readiness(s); })) {
      return true;
    }
  }
  return false;
}

}  // namespace ringway::runtime
