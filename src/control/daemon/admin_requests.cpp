#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include "base/sys.h"
#include "control/daemon/requests.h"
#include "control/proto/admin.h"
#include "control/proto/runtime_dir.h"
#include "steering/table.h"

namespace ringway::control::daemon {

using base::ErrorCode;
using base::Result;
using base::UniqueFd;
using steering::text_of;

namespace {

Result<void> no_network(std::string_view name) {
  return base::fail(ErrorCode::kNotFound, fmt::format("there is no network '{}'", name));
}

Result<void> on(State& state, Session& session, const proto::Status& request) {
  proto::StatusReply reply;
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  reply.pid = ::getpid();
  reply.stay = state.stay ? 1 : 0;
  reply.uptime_seconds = static_cast<std::uint64_t>(now.tv_sec - state.started_seconds);
  for (const auto& [name, network] : state.networks()) {
    reply.clients += static_cast<std::uint32_t>(network->sessions.size());
    reply.stacks += static_cast<std::uint32_t>(network->stacks().size());
    reply.links += static_cast<std::uint32_t>(network->links().size());
    ++reply.networks;
  }
  state.send(session, reply, request.head.tag);
  return {};
}

Result<void> on(State& state, Session& session, const proto::SetStay& request) {
  state.stay = request.stay != 0;
  state.send(session, proto::Ok{}, request.head.tag);
  return {};
}

Result<void> on(State& state, Session& session, const proto::Shutdown& request) {
  state.ending = true;
  state.send(session, proto::Ok{}, request.head.tag);
  return {};
}

Result<void> on(State& state, Session& session, const proto::AddNetwork& request) {
  const auto name = text_of(request.name);
  if (!proto::valid_network_name(name)) {
    return base::fail(ErrorCode::kInvalidArgument,
                      "a network's name has 1 to 31 characters of a-z A-Z 0-9 . _ -");
  }
  if (state.find_network(name) != nullptr) {
    return base::fail(ErrorCode::kExists, fmt::format("network '{}' exists already", name));
  }
  if (request.prefix4_length == 0) {
    auto made = state.network_for(name);
    if (!made) return tl::unexpected(std::move(made).error());
    auto description = (*made)->table().network();
    description.persistent = 1;
    (*made)->table().set_network(description);
  } else {
    const base::Prefix prefix{request.prefix4, static_cast<std::uint8_t>(request.prefix4_length)};
    if (request.prefix4_length < 8 || request.prefix4_length > 28 || !request.prefix4.is_v4()) {
      return base::fail(ErrorCode::kInvalidArgument, "a subnet is IPv4 with /8 to /28");
    }
    if (prefix.address.is_loopback() || prefix.address.is_multicast() || prefix.address.is_any()) {
      return base::fail(ErrorCode::kInvalidArgument, "that subnet is not one for hosts");
    }
    const auto description = describe(name, prefix, true);
    if (state.subnet_taken({description.prefix4, description.prefix4_length})) {
      return base::fail(ErrorCode::kExists, "the subnet overlaps that of another network");
    }
    if (auto added = state.add_network(description); !added) return added;
  }
  state.send(session, proto::Ok{}, request.head.tag);
  return {};
}

Result<void> on(State& state, Session& session, const proto::RemoveNetwork& request) {
  if (auto removed = state.remove_network(text_of(request.name)); !removed) return removed;
  state.send(session, proto::Ok{}, request.head.tag);
  return {};
}

std::uint32_t count_hosts(const Network& network) {
  std::uint32_t count = 0;
  for (std::uint32_t i = 1; i < steering::kMaxHosts; ++i) {
    if (network.table().host(static_cast<steering::HostIndex>(i)).used != 0) ++count;
  }
  return count;
}

Result<void> on(State& state, Session& session, const proto::ListNetworks& request) {
  proto::NetworksReply reply;
  const auto& networks = state.networks();
  auto next = networks.upper_bound(std::string(text_of(request.after)));
  for (; next != networks.end() && reply.count < reply.networks.size(); ++next) {
    Network& network = *next->second;
    auto& info = reply.networks[reply.count++];
    info.network = network.table().network();
    info.clients = static_cast<std::uint32_t>(network.sessions.size());
    info.stacks = static_cast<std::uint32_t>(network.stacks().size());
    info.links = static_cast<std::uint32_t>(network.links().size());
    info.hosts = count_hosts(network);
  }
  reply.more = next != networks.end() ? 1 : 0;
  state.send(session, reply, request.head.tag);
  return {};
}

Result<void> on(State& state, Session& session, const proto::OpenTable& request) {
  auto* network = state.find_network(text_of(request.network));
  if (network == nullptr) return no_network(text_of(request.network));
  const int fd = network->table_fd();
  state.send(session, proto::FdReply{}, request.head.tag, std::span(&fd, 1));
  return {};
}

Result<void> on(State& state, Session& session, const proto::FetchArena& request) {
  auto* network = state.find_network(text_of(request.network));
  if (network == nullptr) return no_network(text_of(request.network));
  const auto* stack = network->stack(request.stack);
  if (stack == nullptr || !stack->claimed()) {
    return base::fail(ErrorCode::kNotFound, "there is no such stack, or it has just ended");
  }
  // A descriptor of its own, so that it cannot be written through if it is for looking only.
  const auto path = fmt::format("/proc/self/fd/{}", stack->arena.get());
  const int mode = request.capture != 0 ? O_RDWR : O_RDONLY;
  const UniqueFd reader(base::sys::openat(AT_FDCWD, path.c_str(), mode | O_CLOEXEC));
  if (!reader) return base::fail_errno("cannot open the arena");
  const int fd = reader.get();
  state.send(session, proto::FdReply{}, request.head.tag, std::span(&fd, 1));
  return {};
}

template <typename Request>
bool answer(State& state, Session& session, const proto::Received& message) {
  if (message.head().type != Request::kType) return false;
  const auto result = on(state, session, message.as<Request>());
  if (!result) refuse(state, session, message.head().tag, result.error());
  return true;
}

}  // namespace

bool serve_admin(State& state, Session& session, const proto::Received& message) {
  return answer<proto::Status>(state, session, message) ||
         answer<proto::SetStay>(state, session, message) ||
         answer<proto::Shutdown>(state, session, message) ||
         answer<proto::AddNetwork>(state, session, message) ||
         answer<proto::RemoveNetwork>(state, session, message) ||
         answer<proto::ListNetworks>(state, session, message) ||
         answer<proto::OpenTable>(state, session, message) ||
         answer<proto::FetchArena>(state, session, message);
}

}  // namespace ringway::control::daemon
