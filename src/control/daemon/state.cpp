#include "control/daemon/state.h"

#include <dirent.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"
#include "control/daemon/process.h"
#include "control/proto/runtime_dir.h"
#include "steering/table.h"

namespace ringway::control::daemon {

using base::ErrorCode;
using base::Result;
using base::UniqueFd;

namespace {

std::vector<std::string> table_names(int directory) {
  std::vector<std::string> names;
  const int copy = base::sys::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* listing = copy < 0 ? nullptr : ::fdopendir(copy);
  if (listing == nullptr) return names;
  while (const dirent* entry = ::readdir(listing)) {
    std::string_view name(entry->d_name);
    if (!name.ends_with(proto::kTableSuffix)) continue;
    name.remove_suffix(proto::kTableSuffix.size());
    if (proto::valid_network_name(name)) names.emplace_back(name);
  }
  ::closedir(listing);
  return names;
}

std::string file_of(const std::string& network) {
  return network + std::string(proto::kTableSuffix);
}

}  // namespace

State::State(UniqueFd directory, UniqueFd epoll, std::shared_ptr<spdlog::logger> log,
             std::string reaper_path)
    : directory_(std::move(directory)),
      epoll_(std::move(epoll)),
      log_(std::move(log)),
      reaper_path_(std::move(reaper_path)) {}

Result<void> State::watch(int fd, const Watch& what, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = what.word();
  if (base::sys::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return base::fail_errno("cannot watch a descriptor");
  }
  return {};
}

// An explicit removal: the open file may live on in other processes, and epoll with it.
void State::unwatch(const UniqueFd& fd) {
  epoll_event none{};
  if (fd) base::sys::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd.get(), &none);
}

void State::reopen_networks() {
  for (const auto& name : table_names(directory_.get())) {
    auto network = Network::reopen(directory_.get(), name);
    if (!network) {
      log_->warn("network {}: its table is not continued: {}", name, network.error().what);
      continue;
    }
    auto& kept = networks_[name];
    kept = std::make_unique<Network>(std::move(*network));
    serials_[kept.get()] = next_serial_++;
    adopt_stacks(*kept);
    log_->info("network {}: continued with {} stacks", name, kept->stacks().size());
    drop_unused_network(*kept);
  }
}

// Stacks whose process lives are kept until it comes back to us or ends.
void State::adopt_stacks(Network& network) {
  auto& table = network.table();
  for (std::uint32_t i = 0; i < table.stack_limit(); ++i) {
    const auto stack = table.stack(static_cast<std::uint16_t>(i));
    if (stack.alive == 0) continue;
    UniqueFd process(base::sys::pidfd_open(stack.pid, 0));
    const Watch what{Source::kProcess, serial_of(network), stack.id.raw()};
    const bool watched = process && watch(process.get(), what, EPOLLIN).has_value();
    // Looked at after the pidfd is held, so that the number cannot change hands in between.
    if (!watched || !still_runs(stack.pid, stack.start_time)) {
      log_->info("stack {}: process {} has ended", i, stack.pid);
      unwatch(process);
      table.remove_stack(stack.id);
      continue;
    }
    network.stacks()[stack.id.raw()].process = std::move(process);
  }
}

void State::leave() {
  for (const auto& [name, network] : networks_) {
    const bool needed = network->table().network().persistent != 0 || !network->stacks().empty();
    if (!needed) ::unlinkat(directory_.get(), file_of(name).c_str(), 0);
  }
}

void State::add_session(UniqueFd socket, std::int32_t pid) {
  const auto id = next_session_++;
  auto session = std::make_unique<Session>();
  session->id = id;
  session->pid = pid;
  session->start_time = start_time_of(pid).value_or(0);
  if (!watch(socket.get(), {Source::kSession, 0, id}, EPOLLIN)) return;
  session->socket = std::move(socket);
  sessions_[id] = std::move(session);
}

Session* State::session(SessionId id) {
  const auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : found->second.get();
}

bool State::sent(Session& to, const Result<void>& result) {
  if (result) return true;
  if (!to.broken) log_->info("process {}: dropped: {}", to.pid, result.error().what);
  to.broken = true;
  return false;
}

void State::sweep() {
  std::vector<SessionId> broken;
  for (const auto& [id, session] : sessions_) {
    if (session->broken) broken.push_back(id);
  }
  for (const auto id : broken) drop_session(id);
}

void State::drop_session(SessionId id) {
  const auto node = sessions_.extract(id);
  if (node.empty()) return;
  Session& gone = *node.mapped();
  unwatch(gone.socket);
  if (gone.network == nullptr) return;
  Network& network = *gone.network;
  network.sessions.erase(id);
  for (const auto raw : gone.stacks) {
    const auto stack_id = StackId::from_raw(raw);
    auto* stack = network.stack(stack_id);
    if (stack == nullptr) continue;
    stack->holders.erase(id);
    // A successor daemon asks whether the process in the table lives: name one that does.
    const auto recorded = network.table().living(stack_id);
    if (stack->holders.empty() || !recorded || recorded->pid != gone.pid) continue;
    if (const auto* other = session(*stack->holders.begin())) {
      network.table().set_stack_process(stack_id, other->pid, other->start_time);
    }
  }
  drop_unused_host(network, gone.host);
  drop_unused_network(network);
}

void State::drop_unused_host(Network& network, steering::HostIndex host) {
  const auto uses = [&](SessionId id) {
    const auto* its = session(id);
    return its != nullptr && its->host == host;
  };
  if (std::any_of(network.sessions.begin(), network.sessions.end(), uses)) return;
  network.drop_host(host);
}

void State::drop_unused_network(Network& network) {
  if (!network.sessions.empty() || !network.stacks().empty()) return;
  if (network.table().network().persistent != 0) return;
  const auto name = network.name();
  log_->info("network {}: nobody is left", name);
  (void)remove_network(name);
}

std::uint32_t State::serial_of(const Network& network) const { return serials_.at(&network); }

Network* State::network_of(const Watch& watch) {
  for (const auto& [network, serial] : serials_) {
    if (serial != watch.network) continue;
    const auto found = networks_.find(network->name());
    return found == networks_.end() ? nullptr : found->second.get();
  }
  return nullptr;
}

Network* State::find_network(std::string_view name) {
  const auto found = networks_.find(std::string(name));
  return found == networks_.end() ? nullptr : found->second.get();
}

bool State::subnet_taken(const base::Prefix& prefix) const {
  return std::any_of(networks_.begin(), networks_.end(), [&](const auto& item) {
    const auto there = item.second->table().network();
    const base::Prefix its{there.prefix4, there.prefix4_length};
    return its.contains(prefix.address) || prefix.contains(its.address);
  });
}

Result<Network*> State::network_for(std::string_view name) {
  if (auto* there = find_network(name)) return there;
  std::set<std::uint32_t> taken;
  std::optional<base::Prefix> subnet;
  while ((subnet = choose_subnet(taken)) && subnet_taken(*subnet)) {
    taken.insert(subnet->address.to_v4());
  }
  if (!subnet) return base::fail(ErrorCode::kExhausted, "no subnet is left for another network");
  if (auto added = add_network(describe(name, *subnet, false)); !added) {
    return tl::unexpected(std::move(added).error());
  }
  return find_network(name);
}

Result<void> State::add_network(const steering::Network& description) {
  if (networks_.size() == kMaxNetworks) {
    return base::fail(ErrorCode::kExhausted, "64 networks are there already");
  }
  auto network = Network::create(directory_.get(), description);
  if (!network) return tl::unexpected(std::move(network).error());
  auto& kept = networks_[network->name()];
  kept = std::make_unique<Network>(std::move(*network));
  serials_[kept.get()] = next_serial_++;
  log_->info("network {}: made", kept->name());
  return {};
}

Result<void> State::remove_network(std::string_view name) {
  const auto found = networks_.find(std::string(name));
  if (found == networks_.end()) {
    return base::fail(ErrorCode::kNotFound, fmt::format("there is no network '{}'", name));
  }
  if (!found->second->sessions.empty() || !found->second->stacks().empty()) {
    return base::fail(ErrorCode::kExists,
                      fmt::format("programs run on network '{}': end them first", name));
  }
  ::unlinkat(directory_.get(), file_of(found->first).c_str(), 0);
  serials_.erase(found->second.get());
  networks_.erase(found);
  return {};
}

bool State::idle() const {
  return !stay && sessions_.empty() &&
         std::all_of(networks_.begin(), networks_.end(),
                     [](const auto& item) { return item.second->stacks().empty(); });
}

}  // namespace ringway::control::daemon
