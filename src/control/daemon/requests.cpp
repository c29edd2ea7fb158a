#include "control/daemon/requests.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include "base/sys.h"
#include "control/proto/runtime_dir.h"
#include "control/proto/stacks.h"
#include "mem/arena.h"
#include "steering/table.h"

namespace ringway::control::daemon {

using base::Error;
using base::ErrorCode;
using base::Result;
using base::UniqueFd;
using steering::text_of;

namespace {

tl::unexpected<Error> deny(ErrorCode code, int os_errno, std::string what) {
  return tl::unexpected<Error>(Error{code, os_errno, std::move(what)});
}

/// One request with what it came from.
struct Context {
  State& state;
  Session& session;
  proto::Received& message;

  Network& network() const { return *session.network; }
  template <typename T>
  Result<void> reply(const T& answer, std::span<const int> fds = {}) const {
    state.send(session, answer, message.head().tag, fds);
    return {};
  }
  Result<void> ok() const { return reply(proto::Ok{}); }
  Result<void> holds(StackId id) const {
    if (session.holds(id)) return {};
    return deny(ErrorCode::kPermission, EPERM, "that stack is not this process's");
  }
};

bool valid_protocol(std::uint32_t protocol) { return protocol < steering::kProtocols; }

Result<steering::ListenKey> checked(const proto::Key& key) {
  const bool sane = valid_protocol(static_cast<std::uint32_t>(key.protocol)) &&
                    key.scope <= steering::Scope::kSpecific;
  if (!sane) return deny(ErrorCode::kInvalidArgument, EINVAL, "that is no listener's key");
  return steering::ListenKey{key.protocol, key.port, key.scope, key.address};
}

bool is_eventfd(int fd) {
  std::array<char, 64> target{};
  const auto path = fmt::format("/proc/self/fd/{}", fd);
  const auto length = ::readlink(path.c_str(), target.data(), target.size());
  return length > 0 && std::string_view(target.data(), static_cast<std::size_t>(length)) ==
                           "anon_inode:[eventfd]";
}

bool is_pipe_reader(int fd) {
  struct stat status {};
  return base::sys::fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) &&
         (base::sys::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY;
}

std::uint64_t inode_of(int fd) {
  struct stat status {};
  return base::sys::fstat(fd, &status) == 0 ? status.st_ino : 0;
}

// Peers map and write these: they must be what they are said to be.
Result<void> check_stack_fds(const proto::Received& message) {
  for (const std::size_t memory : {0U, 1U}) {
    auto sealed = mem::check_sealed(message.fds[memory].get());
    if (!sealed) return tl::unexpected(std::move(sealed).error());
  }
  if (!is_eventfd(message.fds[2].get())) {
    return deny(ErrorCode::kInvalidArgument, EINVAL, "the doorbell is no eventfd");
  }
  if (!is_pipe_reader(message.fds[3].get())) {
    return deny(ErrorCode::kInvalidArgument, EINVAL, "the life descriptor is no pipe's read end");
  }
  return {};
}

Result<void> on(const Context& context, const proto::Hello& request) {
  Session& session = context.session;
  const auto name = text_of(request.network);
  const auto host_name = text_of(request.host);
  if (session.network != nullptr) {
    return deny(ErrorCode::kInvalidArgument, EINVAL, "this program has joined a network already");
  }
  if (!proto::valid_network_name(name) ||
      (!host_name.empty() && !proto::valid_host_name(host_name)) || host_name == "localhost") {
    return deny(ErrorCode::kInvalidArgument, EINVAL,
                "names of networks and hosts are made of a-z A-Z 0-9 . _ -");
  }
  auto network = context.state.network_for(name);
  if (!network) return tl::unexpected(std::move(network).error());
  auto host = (*network)->host_for(host_name);
  if (!host) return tl::unexpected(std::move(host).error());
  session.network = *network;
  session.host = *host;
  session.program = std::string(text_of(request.program));
  (*network)->sessions.insert(session.id);
  proto::HelloReply reply;
  reply.table_identity = (*network)->table().identity();
  reply.network = (*network)->table().network();
  reply.host = (*network)->table().host(*host);
  const int table = (*network)->table_fd();
  return context.reply(reply, std::span(&table, 1));
}

steering::Stack describe_stack(const Context& context, const proto::RegisterStack& request) {
  steering::Stack stack;
  stack.id = request.earlier;
  stack.host = context.session.host;
  stack.gateway = (request.flags & proto::kRegisterGateway) != 0 ? 1 : 0;
  stack.pid = context.session.pid;
  stack.start_time = context.session.start_time;
  stack.arena_inode = inode_of(context.message.fds[0].get());
  steering::set_text(stack.program, context.session.program);
  return stack;
}

// A stack of this number that the table has: may the sender say that it is its own?
Result<void> may_claim(Network& network, StackId id, std::uint64_t arena_inode) {
  const auto known = network.table().living(id);
  const auto* stack = network.stack(id);
  if (known && known->arena_inode == arena_inode && stack != nullptr && !stack->reaped) return {};
  return deny(ErrorCode::kPermission, EPERM, "that stack has another arena");
}

Result<StackId> enter_table(Network& network, const steering::Stack& stack) {
  if (!stack.id.valid()) return network.table().add_stack(stack);
  auto restored = network.table().restore_stack(stack);
  if (!restored) return tl::unexpected(std::move(restored).error());
  return stack.id;
}

Result<void> hold(const Context& context, StackId id) {
  if (context.session.stacks.size() >= Session::kMaxStacks) {
    return deny(ErrorCode::kExhausted, EMFILE, "one process holds at most 64 stacks");
  }
  context.session.stacks.insert(id.raw());
  context.network().stack(id)->holders.insert(context.session.id);
  return {};
}

Result<void> on(const Context& context, const proto::RegisterStack& request) {
  if (auto sane = check_stack_fds(context.message); !sane) return sane;
  if (context.session.stacks.size() >= Session::kMaxStacks) {
    return deny(ErrorCode::kExhausted, EMFILE, "one process holds at most 64 stacks");
  }
  Network& network = context.network();
  const auto description = describe_stack(context, request);
  StackId id = request.earlier;
  if (id.valid() && network.table().living(id)) {
    if (auto may = may_claim(network, id, description.arena_inode); !may) return may;
  } else {
    auto entered = enter_table(network, description);
    if (!entered) return tl::unexpected(std::move(entered).error());
    id = *entered;
  }
  auto& stack = network.stacks()[id.raw()];
  if (!stack.claimed()) {
    stack.arena = std::move(context.message.fds[0]);
    stack.mailbox = std::move(context.message.fds[1]);
    stack.doorbell = std::move(context.message.fds[2]);
    stack.life = std::move(context.message.fds[3]);
    stack.process.reset();  // a pidfd that only the daemon has: epoll forgets it with this
    if (auto watched = context.state.watch_life(network, id); !watched) {
      context.state.end_stack(network, id, true);
      return watched;
    }
  }
  if (auto held = hold(context, id); !held) return held;
  context.state.log().info("process {} ({}): stack {}.{}", context.session.pid,
                           context.session.program, id.index, id.generation);
  proto::StackReply reply;
  reply.stack = id;
  (void)context.reply(reply);
  context.state.offer_untold(network, id);
  return {};
}

Result<void> on(const Context& context, const proto::JoinStack& request) {
  Network& network = context.network();
  const auto* stack = network.stack(request.stack);
  if (stack == nullptr || !stack->claimed()) {
    return deny(ErrorCode::kNotFound, ENOENT, "there is no such stack");
  }
  const auto inode = inode_of(context.message.fds[0].get());
  if (auto may = may_claim(network, request.stack, inode); !may) return may;
  if (auto held = hold(context, request.stack); !held) return held;
  const std::array<int, 3> fds{stack->mailbox.get(), stack->doorbell.get(), stack->life.get()};
  (void)context.reply(proto::HoldReply{}, fds);
  context.state.offer_untold(network, request.stack);
  return {};
}

Result<void> on(const Context& context, const proto::CloseStack& request) {
  if (auto its = context.holds(request.stack); !its) return its;
  context.state.end_stack(context.network(), request.stack, true);
  return context.ok();
}

Result<void> on(const Context& context, const proto::LeaseListen& request) {
  if (auto its = context.holds(request.stack); !its) return its;
  auto key = checked(request.key);
  if (!key) return tl::unexpected(std::move(key).error());
  auto port = context.network().table().lease_listen(request.stack, *key,
                                                     static_cast<std::uint8_t>(request.flags));
  if (!port) return tl::unexpected(std::move(port).error());
  proto::PortReply reply;
  reply.port = *port;
  return context.reply(reply);
}

Result<void> finish(const Context& context, const Result<void>& done) {
  return done ? context.ok() : done;
}

Result<void> on(const Context& context, const proto::ReleaseListen& request) {
  if (auto its = context.holds(request.stack); !its) return its;
  auto key = checked(request.key);
  if (!key) return tl::unexpected(std::move(key).error());
  return finish(context, context.network().table().release_listen(request.stack, *key));
}

Result<void> on(const Context& context, const proto::ListenActive& request) {
  if (auto its = context.holds(request.stack); !its) return its;
  auto key = checked(request.key);
  if (!key) return tl::unexpected(std::move(key).error());
  auto& table = context.network().table();
  return finish(context, table.set_active(request.stack, *key, request.active != 0));
}

Result<void> on(const Context& context, const proto::CloneListen& request) {
  if (auto its = context.holds(request.stack); !its) return its;
  if (auto its = context.holds(request.from); !its) return its;
  auto key = checked(request.key);
  if (!key) return tl::unexpected(std::move(key).error());
  auto& table = context.network().table();
  return finish(context, table.clone_listen(request.stack, request.from, *key));
}

Result<void> on(const Context& context, const proto::LeaseEphemeral& request) {
  if (auto its = context.holds(request.stack); !its) return its;
  if (!valid_protocol(request.protocol)) {
    return deny(ErrorCode::kInvalidArgument, EINVAL, "there is no such protocol");
  }
  const auto protocol = static_cast<steering::Protocol>(request.protocol);
  const auto block = context.network().table().lease_ephemeral(request.stack, protocol);
  if (!block) return tl::unexpected(block.error());
  proto::BlockReply reply;
  reply.first = block->first;
  reply.count = block->count;
  return context.reply(reply);
}

Result<void> on(const Context& context, const proto::ReleaseEphemeral& request) {
  if (auto its = context.holds(request.stack); !its) return its;
  if (!valid_protocol(request.protocol)) {
    return deny(ErrorCode::kInvalidArgument, EINVAL, "there is no such protocol");
  }
  const auto protocol = static_cast<steering::Protocol>(request.protocol);
  auto& table = context.network().table();
  return finish(context,
                table.release_ephemeral(request.stack, protocol, {request.first, request.count}));
}

Result<void> reply_link(const Context& context, std::uint32_t number, std::uint32_t side,
                        bool existing) {
  Network& network = context.network();
  auto* link = network.link(number);
  const auto peer_id = link->ends[1 - side];
  const auto* peer = network.stack(peer_id);
  if (peer == nullptr || !peer->claimed()) {
    return deny(ErrorCode::kTimeout, EAGAIN, "the peer has not come back to ringwayd yet");
  }
  link->told[side] = true;
  proto::LinkReply reply;
  reply.peer = peer_id;
  reply.link = number;
  reply.side = side;
  reply.existing = existing ? 1 : 0;
  const std::array<int, 4> fds{link->memory.get(), peer->mailbox.get(), peer->doorbell.get(),
                               peer->life.get()};
  return context.reply(reply, fds);
}

Result<void> on(const Context& context, const proto::OpenLink& request) {
  if (auto its = context.holds(request.stack); !its) return its;
  Network& network = context.network();
  const auto* peer = network.stack(request.to);
  if (peer == nullptr || peer->reaped) {
    return deny(ErrorCode::kNotFound, ENOENT, "there is no such peer");
  }
  if (!peer->claimed()) {
    return deny(ErrorCode::kTimeout, EAGAIN, "the peer has not come back to ringwayd yet");
  }
  if (const auto number = network.link_between(request.stack, request.to)) {
    const auto side = network.link(*number)->side_of(request.stack);
    return reply_link(context, *number, *side, true);
  }
  if (auto sealed = mem::check_sealed(context.message.fds[0].get()); !sealed) {
    return tl::unexpected(std::move(sealed).error());
  }
  const auto* own = network.stack(request.stack);
  if (own->links.size() >= State::kMaxLinksPerStack ||
      peer->links.size() >= State::kMaxLinksPerStack) {
    return deny(ErrorCode::kExhausted, EMFILE, "a stack has at most 4096 links");
  }
  const auto number = network.table().next_link_number();
  LinkState link;
  link.memory = std::move(context.message.fds[0]);
  link.ends = {request.stack, request.to};
  network.add_link(number, std::move(link));
  auto replied = reply_link(context, number, 0, false);
  // A stack's link to itself has both ends in the same hands already.
  if (request.to != request.stack) context.state.offer(network, number, 1);
  return replied;
}

Result<void> on(const Context& context, const proto::FetchLink& request) {
  if (auto its = context.holds(request.stack); !its) return its;
  const auto* link = context.network().link(request.link);
  const auto side = link == nullptr ? std::nullopt : link->side_of(request.stack);
  if (!side) return deny(ErrorCode::kNotFound, ENOENT, "the stack has no such link");
  return reply_link(context, request.link, *side, true);
}

Result<void> on(const Context& context, const proto::RestoreLink& request) {
  if (auto its = context.holds(request.stack); !its) return its;
  Network& network = context.network();
  const auto refused = deny(ErrorCode::kNotFound, ENOENT, "that link cannot be restored");
  if (request.side > 1 || request.link == 0 || request.peer == request.stack) return refused;
  if (auto* there = network.link(request.link)) {
    const bool same = there->ends[request.side] == request.stack &&
                      there->ends[1 - request.side] == request.peer &&
                      inode_of(there->memory.get()) == inode_of(context.message.fds[0].get());
    if (!same) return refused;
    there->told[request.side] = true;
    return context.ok();
  }
  const auto* peer = network.stack(request.peer);
  if (peer == nullptr || peer->reaped || network.link_between(request.stack, request.peer) ||
      network.stack(request.stack)->links.size() >= State::kMaxLinksPerStack ||
      !mem::check_sealed(context.message.fds[0].get())) {
    return refused;
  }
  LinkState link;
  link.memory = std::move(context.message.fds[0]);
  link.ends[request.side] = request.stack;
  link.ends[1 - request.side] = request.peer;
  link.told[request.side] = true;
  network.add_link(request.link, std::move(link));
  network.table().reserve_link_number(request.link);
  (void)context.ok();
  // The old daemon may have ended between its answer and its offer.
  context.state.offer(network, request.link, 1 - request.side);
  return {};
}

Result<void> on(const Context& context, const proto::CloseLink& request) {
  if (auto its = context.holds(request.stack); !its) return its;
  const auto* link = context.network().link(request.link);
  if (link == nullptr || !link->side_of(request.stack)) {
    return deny(ErrorCode::kNotFound, ENOENT, "the stack has no such link");
  }
  context.state.drop_link(context.network(), request.link, request.stack, proto::Gone::kLinkClosed);
  return context.ok();
}

Result<void> on(const Context& context, const proto::Resolve& request) {
  const auto& table = context.network().table();
  for (std::uint32_t i = 0; i < steering::kMaxHosts; ++i) {
    const auto host = table.host(static_cast<steering::HostIndex>(i));
    if (host.used == 0 || text_of(host.name) != text_of(request.name)) continue;
    proto::HostReply reply;
    reply.host = host;
    return context.reply(reply);
  }
  return deny(ErrorCode::kNotFound, ENOENT,
              fmt::format("no host of the network is called '{}'", text_of(request.name)));
}

template <typename Request>
bool answer(const Context& context) {
  if (context.message.head().type != Request::kType) return false;
  const auto request = context.message.as<Request>();
  const bool joined = context.session.network != nullptr || Request::kType == proto::Type::kHello;
  const auto result =
      joined ? on(context, request)
             : deny(ErrorCode::kInvalidArgument, EINVAL, "this program has not joined a network");
  if (!result) {
    refuse(context.state, context.session, context.message.head().tag, result.error());
  }
  return true;
}

template <typename... Requests>
bool answer_any(const Context& context) {
  return (answer<Requests>(context) || ...);
}

}  // namespace

void refuse(State& state, Session& session, std::uint32_t tag, const Error& error) {
  proto::Failure failure;
  failure.os_errno = error.os_errno;
  failure.code = static_cast<std::uint32_t>(error.code);
  steering::set_text(failure.text, error.what);
  state.send(session, failure, tag);
}

void serve(State& state, Session& session, proto::Received message) {
  if (auto valid = proto::check(message); !valid) {
    state.log().warn("process {}: {}", session.pid, valid.error().what);
    refuse(state, session, message.head().tag, valid.error());
    session.broken = true;
    return;
  }
  // Tag 0 is an event's.
  const Context context{state, session, message};
  const bool known =
      message.head().tag != 0 &&
      (serve_admin(state, session, message) ||
       answer_any<proto::Hello, proto::RegisterStack, proto::JoinStack, proto::CloseStack,
                  proto::LeaseListen, proto::ReleaseListen, proto::ListenActive, proto::CloneListen,
                  proto::LeaseEphemeral, proto::ReleaseEphemeral, proto::OpenLink, proto::FetchLink,
                  proto::RestoreLink, proto::CloseLink, proto::Resolve>(context));
  if (!known) {
    state.log().warn("process {}: message type {} is no request", session.pid,
                     static_cast<unsigned>(message.head().type));
    session.broken = true;
  }
}

}  // namespace ringway::control::daemon
