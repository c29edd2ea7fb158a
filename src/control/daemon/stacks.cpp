#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/sys.h"
#include "control/daemon/state.h"

// What happens to stacks and their links: offered, left, ended, reaped.
namespace ringway::control::daemon {

using base::Result;
using base::UniqueFd;

Result<void> State::watch_life(Network& network, StackId id) {
  const auto* stack = network.stack(id);
  // No event is asked for: a hang-up is always told.
  return watch(stack->life.get(), {Source::kLife, serial_of(network), id.raw()}, 0);
}

void State::offer(Network& network, std::uint32_t number, std::uint32_t side) {
  auto* link = network.link(number);
  if (link == nullptr) return;
  const auto to = link->ends[side];
  const auto from = link->ends[1 - side];
  const auto* receiver = network.stack(to);
  const auto* peer = network.stack(from);
  if (receiver == nullptr || peer == nullptr || !peer->claimed()) return;
  proto::LinkOffer message;
  message.stack = to;
  message.peer = from;
  message.link = number;
  message.side = side;
  const std::array<int, 4> fds{link->memory.get(), peer->mailbox.get(), peer->doorbell.get(),
                               peer->life.get()};
  for (const auto holder : receiver->holders) {
    auto* its = session(holder);
    if (its != nullptr && !its->broken && send(*its, message, 0, fds)) link->told[side] = true;
  }
}

void State::offer_untold(Network& network, StackId id) {
  const auto* stack = network.stack(id);
  if (stack == nullptr) return;
  for (const auto number : stack->links) {
    const auto* link = network.link(number);
    const auto side = link->side_of(id);
    if (side && !link->told[*side]) offer(network, number, *side);
  }
}

void State::drop_link(Network& network, std::uint32_t number, StackId from, proto::Gone how) {
  const auto* link = network.link(number);
  if (link == nullptr) return;
  const auto side = link->side_of(from);
  const auto to = link->ends[side.value_or(0) == 0 ? 1 : 0];
  if (const auto* receiver = network.stack(to)) {
    proto::PeerGone message;
    message.stack = to;
    message.peer = from;
    message.link = number;
    message.how = how;
    for (const auto holder : receiver->holders) {
      auto* its = session(holder);
      if (its != nullptr && !its->broken) send(*its, message, 0);
    }
  }
  network.remove_link(number);
}

void State::end_stack(Network& network, StackId id, bool clean) {
  auto* stack = network.stack(id);
  if (stack == nullptr || stack->reaped) return;
  network.table().release_listeners(id);
  const bool reaped = !clean && stack->claimed() && start_reaper(network, id);
  const auto how = clean    ? proto::Gone::kClosed
                   : reaped ? proto::Gone::kReaped
                            : proto::Gone::kDied;
  const auto links = stack->links;
  for (const auto number : links) drop_link(network, number, id, how);
  for (const auto holder : stack->holders) {
    if (auto* its = session(holder)) its->stacks.erase(id.raw());
  }
  stack->holders.clear();
  unwatch(stack->life);
  if (!reaped) return forget_stack(network, id);
  // Its source ports stay taken until the reaper has closed its connections.
  stack->reaped = true;
  stack->arena.reset();
  stack->mailbox.reset();
  stack->doorbell.reset();
  stack->life.reset();
}

void State::forget_stack(Network& network, StackId id) {
  const auto its = network.table().living(id);
  if (auto* stack = network.stack(id)) unwatch(stack->process);
  network.table().remove_stack(id);
  network.stacks().erase(id.raw());
  if (its) drop_unused_host(network, its->host);
  drop_unused_network(network);
}

namespace {

void add_link_arguments(std::vector<std::string>& arguments, std::vector<int>& fds,
                        Network& network, StackId id) {
  for (const auto number : network.stack(id)->links) {
    const auto* link = network.link(number);
    const auto side = link->side_of(id);
    const auto* peer = network.stack(link->ends[side.value_or(0) == 0 ? 1 : 0]);
    if (!side || peer == nullptr || !peer->claimed()) continue;
    const std::array<int, 4> passed{link->memory.get(), peer->mailbox.get(), peer->doorbell.get(),
                                    peer->life.get()};
    fds.insert(fds.end(), passed.begin(), passed.end());
    arguments.emplace_back("--link");
    arguments.push_back(fmt::format("{},{},{},{},{},{}", number, *side, passed[0], passed[1],
                                    passed[2], passed[3]));
  }
}

[[noreturn]] void become_reaper(char* const* argv, const std::vector<int>& fds) {
  for (const int fd : fds) base::sys::fcntl(fd, F_SETFD, 0);
  ::execv(argv[0], argv);
  ::_exit(127);
}

}  // namespace

// ringway-reaper --stack INDEX.GENERATION --table FD --arena FD --mailbox FD --doorbell FD
//                {--link NUMBER,SIDE,MEMORY_FD,PEER_MAILBOX_FD,PEER_DOORBELL_FD,PEER_LIFE_FD}
bool State::start_reaper(Network& network, StackId id) {
  if (::access(reaper_path_.c_str(), X_OK) != 0) {
    log_->info("stack {}.{} died; there is no reaper at '{}'", id.index, id.generation,
               reaper_path_);
    return false;
  }
  auto* stack = network.stack(id);
  std::vector<int> fds{network.table_fd(), stack->arena.get(), stack->mailbox.get(),
                       stack->doorbell.get()};
  std::vector<std::string> arguments{reaper_path_,
                                     "--stack",
                                     fmt::format("{}.{}", id.index, id.generation),
                                     "--table",
                                     std::to_string(fds[0]),
                                     "--arena",
                                     std::to_string(fds[1]),
                                     "--mailbox",
                                     std::to_string(fds[2]),
                                     "--doorbell",
                                     std::to_string(fds[3])};
  add_link_arguments(arguments, fds, network, id);
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) become_reaper(argv.data(), fds);
  if (child < 0) {
    log_->error("stack {}.{} died; its reaper cannot be started", id.index, id.generation);
    return false;
  }
  unwatch(stack->process);
  stack->process = UniqueFd(base::sys::pidfd_open(child, 0));
  const Watch what{Source::kReaper, serial_of(network), id.raw()};
  if (!stack->process || !watch(stack->process.get(), what, EPOLLIN)) {
    log_->error("the reaper {} cannot be watched", child);
    return false;
  }
  log_->info("stack {}.{} died; reaper {} closes its connections", id.index, id.generation, child);
  return true;
}

void State::life_ended(const Watch& watch) {
  if (auto* network = network_of(watch)) end_stack(*network, StackId::from_raw(watch.id), false);
}

// Of a stack that never came back after the daemon changed.
void State::process_ended(const Watch& watch) {
  auto* network = network_of(watch);
  if (network == nullptr) return;
  const auto id = StackId::from_raw(watch.id);
  auto* stack = network->stack(id);
  if (stack == nullptr || stack->claimed()) return;
  end_stack(*network, id, false);
}

void State::reaper_ended(const Watch& watch) {
  auto* network = network_of(watch);
  if (network == nullptr) return;
  const auto id = StackId::from_raw(watch.id);
  auto* stack = network->stack(id);
  if (stack == nullptr || !stack->reaped) return;
  siginfo_t how{};
  ::waitid(P_PIDFD, static_cast<id_t>(stack->process.get()), &how, WEXITED | WNOHANG);
  log_->info("the reaper of stack {}.{} ended with {}", id.index, id.generation, how.si_status);
  forget_stack(*network, id);
}

}  // namespace ringway::control::daemon
