#include "runtime/runtime.h"

#include <netinet/in.h>

#include <cerrno>

#include "base/sys.h"
#include "runtime/impl.h"

namespace ringway::runtime {

Runtime::Runtime(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Runtime::~Runtime() = default;

base::Result<std::unique_ptr<Runtime>> Runtime::open(const Options& options) {
  auto impl = std::make_unique<Impl>(options);
  const auto own = impl->own();
  if (!own) return tl::unexpected(own.error());
  return std::unique_ptr<Runtime>(new Runtime(std::move(impl)));
}

int Runtime::socket(int domain, int type, int protocol, SocketId* out) {
  if (domain != AF_INET && domain != AF_INET6) return -EAFNOSUPPORT;
  const bool stream = type == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP);
  const bool datagram = type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP);
  if (!stream && !datagram) return -EPROTONOSUPPORT;
  const auto own = impl_->own();
  if (!own) return -ENETDOWN;
  LocalStack& local = **own;
  Entry entry(local);
  const std::uint32_t index = entry.sockets().create(domain, type, local.holder_bit);
  if (index == 0) return -ENFILE;
  *out = {index, entry.sockets().at(index).generation, local.number};
  return 0;
}

int Runtime::bind(SocketId s, const base::Endpoint& local) { return impl_->bind(s, local); }
int Runtime::listen(SocketId s, int backlog) { return impl_->listen(s, backlog); }
int Runtime::connect(SocketId s, const base::Endpoint& remote) { return impl_->connect(s, remote); }
int Runtime::accept(SocketId s, SocketId* out, base::Endpoint* peer) {
  return impl_->accept(s, out, peer);
}
void Runtime::release(SocketId s) { impl_->release(s); }

ssize_t Runtime::send(SocketId s, const iovec* iov, int count, int flags,
                      const base::Endpoint* to) {
  LocalStack& local = impl_->arena(s.arena);
  const std::span<const iovec> from(iov, static_cast<std::size_t>(count));
  {
    Entry entry(local);
    const stack::Socket* socket = entry.find(s.index, s.generation);
    if (socket == nullptr) [[unlikely]]
      return -EBADF;
    if (socket->kind != stack::SocketKind::kUdp) [[likely]] {
      ssize_t result = entry.sockets().send(s.index, from, flags, entry.now());
      // No room: what the peer has read since may have made some.
      if (result == -EAGAIN && entry.turn())
        result = entry.sockets().send(s.index, from, flags, entry.now());
      return result;
    }
  }
  if ((flags & MSG_OOB) != 0) return -EOPNOTSUPP;
  return impl_->send_datagram(s, from, to);
}

ssize_t Runtime::receive(SocketId s, const iovec* iov, int count, int flags, base::Endpoint* from,
                         int* out_flags) {
  LocalStack& local = impl_->arena(s.arena);
  // Spinning programs: nothing new since this socket had nothing costs no lock.
  thread_local SocketId empty_socket;
  thread_local std::uint32_t empty_epoch = 0;
  thread_local std::uint32_t empty_calls = 0;
  std::uint32_t& epoch = local.state().event_epoch;
  if (empty_socket == s && std::atomic_ref(epoch).load(std::memory_order_acquire) == empty_epoch &&
      ++empty_calls % 64 != 0 && !local.stack->has_input()) {
    return -EAGAIN;
  }
  Entry entry(local);
  if (entry.find(s.index, s.generation) == nullptr) [[unlikely]]
    return -EBADF;
  if (out_flags != nullptr) *out_flags = 0;
  const std::span<const iovec> to(iov, static_cast<std::size_t>(count));
  const bool datagram = entry.sockets().at(s.index).kind == stack::SocketKind::kUdp;
  const auto take = [&] {
    return datagram ? entry.sockets().receive_datagram(s.index, to, flags, from, out_flags)
                    : entry.sockets().receive(s.index, to, flags, entry.now());
  };
  if (from != nullptr && !datagram) *from = entry.sockets().at(s.index).remote;
  ssize_t result = take();
  if (result == -EAGAIN && entry.turn()) result = take();
  if (result == -EAGAIN) {
    empty_socket = s;
    empty_epoch = epoch;
  }
  return result;
}

namespace {

/// Enters the stack of `s` and calls `f(entry)` if the socket is there.
template <typename F>
auto with_socket(Impl& impl, SocketId s, F&& f) -> decltype(f(std::declval<Entry&>())) {
  Entry entry(impl.arena(s.arena));
  if (entry.find(s.index, s.generation) == nullptr) return -EBADF;
  return f(entry);
}

}  // namespace

int Runtime::shutdown(SocketId s, int how) {
  return with_socket(*impl_, s,
                     [&](Entry& e) { return e.sockets().shutdown(s.index, how, e.now()); });
}
int Runtime::set_option(SocketId s, int level, int name, const void* value, socklen_t length) {
  return with_socket(*impl_, s, [&](Entry& e) {
    return e.sockets().set_option(s.index, level, name, value, length, e.now());
  });
}
int Runtime::get_option(SocketId s, int level, int name, void* value, socklen_t* length) {
  return with_socket(*impl_, s, [&](Entry& e) {
    return e.sockets().get_option(s.index, level, name, value, length);
  });
}
int Runtime::local_endpoint(SocketId s, base::Endpoint* out) {
  return with_socket(*impl_, s, [&](Entry& e) { return e.sockets().local(s.index, out); });
}
int Runtime::peer_endpoint(SocketId s, base::Endpoint* out) {
  return with_socket(*impl_, s, [&](Entry& e) {
    e.turn();
    return e.sockets().peer(s.index, out);
  });
}
int Runtime::queued_in(SocketId s) {
  return with_socket(*impl_, s, [&](Entry& e) {
    e.turn();
    return e.sockets().queued_in(s.index);
  });
}
int Runtime::queued_out(SocketId s) {
  return with_socket(*impl_, s, [&](Entry& e) {
    e.turn();
    return e.sockets().queued_out(s.index);
  });
}
std::uint32_t Runtime::readiness(SocketId s) {
  WaitItem item{s, ~0U, 0};
  impl_->wait({&item, 1}, {}, {0}, nullptr);
  return item.revents;
}
std::uint64_t Runtime::routes_generation() const {
  const steering::Table* table = impl_->table();
  return table == nullptr ? 0 : table->generation();
}

int Runtime::domain(SocketId s) {
  return with_socket(*impl_, s, [&](Entry& e) { return int{e.sockets().at(s.index).domain}; });
}
int Runtime::type(SocketId s) {
  return with_socket(*impl_, s, [&](Entry& e) {
    return e.sockets().at(s.index).kind == stack::SocketKind::kUdp ? int{SOCK_DGRAM}
                                                                   : int{SOCK_STREAM};
  });
}

int Runtime::wait(std::span<WaitItem> items, std::span<pollfd> kernel, base::Instant deadline,
                  const sigset_t* mask) {
  return impl_->wait(items, kernel, deadline, mask);
}
base::Instant Runtime::now() const { return clock_now(); }

SetId Runtime::set_create() { return impl_->set_create(); }
void Runtime::set_destroy(SetId set) { impl_->set_destroy(set); }
int Runtime::set_control(SetId set, int op, SocketId s, int tag, const epoll_event& event) {
  return impl_->set_control(set, op, s, tag, event);
}
int Runtime::set_collect(SetId set, std::span<epoll_event> out) {
  return impl_->set_collect(set, out);
}
int Runtime::set_wait(SetId set, std::span<epoll_event> out, std::span<pollfd> kernel,
                      base::Instant deadline, const sigset_t* mask) {
  return impl_->set_wait(set, out, kernel, deadline, mask);
}
bool Runtime::set_ready(SetId set) { return impl_->set_ready(set); }

void Runtime::before_fork() { impl_->before_fork(); }
void Runtime::after_fork_parent(pid_t child) { impl_->after_fork_parent(child); }
void Runtime::after_fork_child() { impl_->after_fork_child(); }
void Runtime::settle() { static_cast<void>(impl_->own()); }
std::vector<StackHandover> Runtime::before_exec(std::span<const SocketId> kept) {
  return impl_->before_exec(kept);
}
void Runtime::after_failed_exec() { impl_->after_failed_exec(); }
std::unique_ptr<Runtime> Runtime::take_over(const Options& options,
                                            std::span<const StackHandover> handed,
                                            std::span<const SocketId> kept) {
  auto impl = std::make_unique<Impl>(options);
  impl->take_over(handed, kept);
  return std::unique_ptr<Runtime>(new Runtime(std::move(impl)));
}
bool Runtime::pass(SocketId s, StackHandover* out) { return impl_->pass(s, out); }
void Runtime::watch_passed(SocketId s, base::UniqueFd end) {
  impl_->watch_passed(s, std::move(end));
}
int Runtime::take(const StackHandover& handed, SocketId* s) { return impl_->take(handed, s); }
void Runtime::leave() { impl_->leave(); }
bool Runtime::inside() { return Inside::depth != 0; }
void Runtime::set_deferred_signal_hook(void (*hook)()) {
  Inside::hook.store(hook, std::memory_order_release);
}
void Runtime::note_signal() {
  Inside::signals = Inside::signals + 1;
  const int bell = Inside::bell;
  const std::uint64_t one = 1;
  if (bell >= 0) base::sys::raw(SYS_write, bell, reinterpret_cast<long>(&one), sizeof one);
}
void Runtime::note_deferred_signal() { Inside::deferred = true; }
std::string Runtime::port_description() const { return impl_->port_description(); }
bool Runtime::owns_fd(int fd) const { return impl_->owns_fd(fd); }

}  // namespace ringway::runtime
