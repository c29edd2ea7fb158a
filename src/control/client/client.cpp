#include "control/client/client.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"
#include "control/client/connect.h"
#include "control/client/exchange.h"
#include "control/proto/stacks.h"
#include "steering/table.h"

namespace ringway::control {

using base::ErrorCode;
using base::Result;
using base::UniqueFd;

namespace {

constexpr base::Duration kPatience = base::Duration::milliseconds(500);

proto::Key key_of(const ListenKey& key) { return {key.protocol, key.scope, key.port, key.address}; }

// Programs count on low numbers being free, and some close all of them: ours lie out of their way.
UniqueFd keep_high(int fd) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const auto floor = std::min<rlim_t>(limit.rlim_cur - limit.rlim_cur / 4, 8192);
  UniqueFd high(base::sys::fcntl(fd, F_DUPFD_CLOEXEC, static_cast<long>(floor)));
  return high ? std::move(high) : UniqueFd(base::sys::fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

UniqueFd move_high(UniqueFd fd) {
  UniqueFd high = keep_high(fd.get());
  return high ? std::move(high) : std::move(fd);
}

/// LinkReply and LinkOffer have the same fields.
template <typename Message>
Link link_of(proto::Received& received, StackId stack) {
  const auto message = received.as<Message>();
  Link link;
  link.number = message.link;
  link.side = message.side;
  link.stack = stack;
  link.peer = message.peer;
  link.memory = std::move(received.fds[0]);
  link.mailbox = std::move(received.fds[1]);
  link.doorbell = std::move(received.fds[2]);
  link.life = std::move(received.fds[3]);
  return link;
}

}  // namespace

Result<Client> Client::connect(ClientOptions options) {
  Client client(std::move(options));
  if (auto opened = client.open_session(); !opened) {
    return tl::unexpected(std::move(opened).error());
  }
  return client;
}

// A daemon that is just ending may take the connection and go: then the next one is asked.
Result<void> Client::open_session() {
  proto::Hello hello;
  steering::set_text(hello.network, options_.network);
  steering::set_text(hello.host, options_.host);
  steering::set_text(hello.program, options_.program);
  constexpr int kTries = 3;
  for (int i = 1;; ++i) {
    auto socket = connect_daemon({options_.directory, options_.daemon_path, options_.spawn, false});
    if (!socket) return tl::unexpected(std::move(socket).error());
    socket_ = move_high(std::move(*socket));
    ++session_;
    auto reply = exchange<proto::HelloReply>(hello, {});
    if (reply) {
      const auto welcome = reply->as<proto::HelloReply>();
      table_ = move_high(std::move(reply->fds[0]));
      membership_ = {welcome.network, welcome.host, welcome.table_identity};
      return {};
    }
    if (!hung_up(reply.error()) || i == kTries) return tl::unexpected(std::move(reply).error());
  }
}

Result<proto::Received> Client::await_reply(std::uint32_t tag) {
  const auto deadline = monotonic_now() + kRequestTimeout;
  for (;;) {
    auto message = receive_next(socket_.get(), deadline);
    if (!message) return message;
    if (message->head().tag == tag) return message;
    // The answer to a request that was given up has a tag that nobody waits for.
    if (message->head().tag == 0) enqueue(std::move(*message));
  }
}

template <typename Reply, typename Request>
Result<proto::Received> Client::exchange(const Request& request, std::span<const int> fds) {
  if (!socket_) return base::fail(ErrorCode::kUnavailable, "not connected to ringwayd");
  const auto tag = next_tag_;
  next_tag_ = next_tag_ + 1 == 0 ? 1 : next_tag_ + 1;
  for (;;) {
    auto sent = proto::send(socket_.get(), request, tag, fds);
    if (sent) break;
    if (sent.error().os_errno == EINTR) continue;
    if (sent.error().os_errno != EAGAIN) return tl::unexpected(std::move(sent).error());
    auto ready = wait_ready(socket_.get(), POLLOUT, monotonic_now() + kRequestTimeout);
    if (!ready) return tl::unexpected(std::move(ready).error());
  }
  auto reply = await_reply(tag);
  if (!reply) return reply;
  return expect_reply(std::move(*reply), Reply::kType);
}

template <typename Reply, typename Request>
Result<proto::Received> Client::call(const Request& request, std::span<const int> fds) {
  auto reply = exchange<Reply>(request, fds);
  if (reply || !hung_up(reply.error())) return reply;
  if (auto again = reconnect(); !again) return tl::unexpected(std::move(again).error());
  return exchange<Reply>(request, fds);
}

template <typename Request>
Result<void> Client::command(const Request& request, std::span<const int> fds) {
  auto reply = call<proto::Ok>(request, fds);
  if (!reply) return tl::unexpected(std::move(reply).error());
  return {};
}

Result<StackId> Client::register_stack(const StackFds& fds, bool gateway) {
  proto::RegisterStack request;
  request.flags = gateway ? proto::kRegisterGateway : 0;
  const std::array<int, 4> passed{fds.arena, fds.mailbox, fds.doorbell, fds.life};
  auto reply = call<proto::StackReply>(request, passed);
  if (!reply) return tl::unexpected(std::move(reply).error());
  const auto id = reply->as<proto::StackReply>().stack;
  Held held;
  held.gateway = gateway;
  held.arena = keep_high(fds.arena);
  held.mailbox = keep_high(fds.mailbox);
  held.doorbell = keep_high(fds.doorbell);
  held.life = keep_high(fds.life);
  stacks_[id.raw()] = std::move(held);
  return id;
}

Result<void> Client::join_stack(StackId stack, int arena) {
  proto::JoinStack request;
  request.stack = stack;
  auto reply = call<proto::HoldReply>(request, std::span(&arena, 1));
  if (!reply) return tl::unexpected(std::move(reply).error());
  Held held;
  held.arena = keep_high(arena);
  held.mailbox = move_high(std::move(reply->fds[0]));
  held.doorbell = move_high(std::move(reply->fds[1]));
  held.life = move_high(std::move(reply->fds[2]));
  stacks_[stack.raw()] = std::move(held);
  return {};
}

Result<void> Client::close_stack(StackId stack) {
  proto::CloseStack request;
  request.stack = stack;
  auto closed = command(request);
  if (closed) forget_stack(stack);
  return closed;
}

void Client::forget_stack(StackId stack) {
  stacks_.erase(stack.raw());
  std::erase_if(links_, [&](const auto& link) { return link.first.first == stack.raw(); });
}

Result<std::uint16_t> Client::lease_listen(StackId stack, const ListenKey& key,
                                           std::uint8_t flags) {
  proto::LeaseListen request;
  request.stack = stack;
  request.flags = flags;
  request.key = key_of(key);
  auto reply = call<proto::PortReply>(request);
  if (!reply) return tl::unexpected(std::move(reply).error());
  return static_cast<std::uint16_t>(reply->as<proto::PortReply>().port);
}

Result<void> Client::release_listen(StackId stack, const ListenKey& key) {
  proto::ReleaseListen request;
  request.stack = stack;
  request.key = key_of(key);
  return command(request);
}

Result<void> Client::listen_active(StackId stack, const ListenKey& key, bool active) {
  proto::ListenActive request;
  request.stack = stack;
  request.active = active ? 1 : 0;
  request.key = key_of(key);
  return command(request);
}

Result<void> Client::clone_listen(StackId stack, StackId from, const ListenKey& key) {
  proto::CloneListen request;
  request.stack = stack;
  request.from = from;
  request.key = key_of(key);
  return command(request);
}

Result<PortBlock> Client::lease_ephemeral(StackId stack, Protocol protocol) {
  proto::LeaseEphemeral request;
  request.stack = stack;
  request.protocol = static_cast<std::uint32_t>(protocol);
  auto reply = call<proto::BlockReply>(request);
  if (!reply) return tl::unexpected(std::move(reply).error());
  const auto block = reply->as<proto::BlockReply>();
  return PortBlock{block.first, block.count};
}

Result<void> Client::release_ephemeral(StackId stack, Protocol protocol, PortBlock block) {
  proto::ReleaseEphemeral request;
  request.stack = stack;
  request.protocol = static_cast<std::uint32_t>(protocol);
  request.first = block.first;
  request.count = block.count;
  return command(request);
}

Result<Link> Client::open_link(StackId stack, StackId to, int memory) {
  proto::OpenLink request;
  request.stack = stack;
  request.to = to;
  // After a change of daemons the peer may still be on its way back: that takes it milliseconds.
  const auto patience = monotonic_now() + kPatience;
  auto reply = call<proto::LinkReply>(request, std::span(&memory, 1));
  while (!reply && reply.error().os_errno == EAGAIN && monotonic_now() < patience) {
    (void)wait_ready(socket_.get(), POLLIN, monotonic_now() + base::Duration::milliseconds(2));
    reply = call<proto::LinkReply>(request, std::span(&memory, 1));
  }
  if (!reply) return tl::unexpected(std::move(reply).error());
  Link link = link_of<proto::LinkReply>(*reply, stack);
  link.existing = reply->as<proto::LinkReply>().existing != 0;
  keep_link(link);
  return link;
}

Result<Link> Client::fetch_link(StackId stack, std::uint32_t number) {
  proto::FetchLink request;
  request.stack = stack;
  request.link = number;
  auto reply = call<proto::LinkReply>(request);
  if (!reply) return tl::unexpected(std::move(reply).error());
  Link link = link_of<proto::LinkReply>(*reply, stack);
  link.existing = true;
  keep_link(link);
  return link;
}

Result<void> Client::close_link(StackId stack, std::uint32_t number) {
  links_.erase({stack.raw(), number});
  proto::CloseLink request;
  request.stack = stack;
  request.link = number;
  return command(request);
}

Result<steering::Host> Client::resolve(std::string_view name) {
  if (name.size() > steering::kMaxHostName) {
    return base::fail(ErrorCode::kNotFound, "no host has a name as long as that");
  }
  proto::Resolve request;
  steering::set_text(request.name, name);
  auto reply = call<proto::HostReply>(request);
  if (!reply) return tl::unexpected(std::move(reply).error());
  return reply->as<proto::HostReply>().host;
}

void Client::keep_link(const Link& link) {
  links_[{link.stack.raw(), link.number}] =
      HeldLink{link.stack, link.peer, link.side, keep_high(link.memory.get())};
}

void Client::enqueue(proto::Received message) {
  if (message.head().type == proto::Type::kLinkOffer) {
    Link link = link_of<proto::LinkOffer>(message, message.as<proto::LinkOffer>().stack);
    link.existing = true;
    // A new daemon offers what it cannot know to be known.
    if (links_.contains({link.stack.raw(), link.number})) return;
    keep_link(link);
    events_.emplace_back(LinkOffer{std::move(link)});
  } else if (message.head().type == proto::Type::kPeerGone) {
    const auto gone = message.as<proto::PeerGone>();
    links_.erase({gone.stack.raw(), gone.link});
    events_.emplace_back(PeerGone{gone.stack, gone.peer, gone.link, gone.how});
  }
}

std::optional<Event> Client::next_event() {
  while (socket_) {
    auto message = proto::receive(socket_.get());
    if (!message || message->size == 0 || !proto::check(*message)) break;
    if (message->head().tag == 0) enqueue(std::move(*message));
  }
  if (events_.empty()) return std::nullopt;
  Event event = std::move(events_.front());
  events_.pop_front();
  return event;
}

Result<void> Client::reconnect() {
  // What the old daemon said before it went is still to be read.
  while (socket_) {
    auto message = proto::receive(socket_.get());
    if (!message || message->size == 0 || !proto::check(*message)) break;
    if (message->head().tag == 0) enqueue(std::move(*message));
  }
  const auto identity = membership_.table_identity;
  if (auto opened = open_session(); !opened) return opened;
  if (membership_.table_identity != identity) {
    events_.emplace_back(TableReplaced{table_.duplicate()});
  }
  if (auto stacks = restore_stacks(); !stacks) return stacks;
  return restore_links();
}

Result<void> Client::restore_stacks() {
  for (auto& [raw, held] : stacks_) {
    const auto id = StackId::from_raw(raw);
    proto::RegisterStack again;
    again.earlier = id;
    again.flags = held.gateway ? proto::kRegisterGateway : 0;
    const std::array<int, 4> fds{held.arena.get(), held.mailbox.get(), held.doorbell.get(),
                                 held.life.get()};
    auto reply = exchange<proto::StackReply>(again, fds);
    if (!reply) return tl::unexpected(std::move(reply).error());
  }
  return {};
}

Result<void> Client::restore_links() {
  for (auto& [key, held] : links_) {
    proto::RestoreLink restore;
    restore.stack = held.stack;
    restore.peer = held.peer;
    restore.link = key.second;
    restore.side = held.side;
    const int memory = held.memory.get();
    auto reply = exchange<proto::Ok>(restore, std::span(&memory, 1));
    // The peer may have ended meanwhile; its life pipe says so.
    if (!reply && hung_up(reply.error())) return tl::unexpected(std::move(reply).error());
  }
  return {};
}

bool Client::owns_fd(int fd) const {
  if (fd < 0) return false;
  if (fd == socket_.get() || fd == table_.get()) return true;
  const auto in_stack = [fd](const auto& item) {
    const Held& held = item.second;
    return held.arena.get() == fd || held.mailbox.get() == fd || held.doorbell.get() == fd ||
           held.life.get() == fd;
  };
  return std::any_of(stacks_.begin(), stacks_.end(), in_stack) ||
         std::any_of(links_.begin(), links_.end(),
                     [fd](const auto& item) { return item.second.memory.get() == fd; });
}

}  // namespace ringway::control
