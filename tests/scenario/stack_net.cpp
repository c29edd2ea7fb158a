#include "tests/scenario/stack_net.h"

#include <algorithm>
#include <cstdlib>

namespace ringway::scenario {

StackNet::StackNet(std::uint32_t hosts) {
  for (std::uint32_t i = 0; i < hosts; ++i) {
    hosts_.push_back(std::make_unique<StackHost>(static_cast<std::uint16_t>(i + 1)));
    world_.add(*hosts_.back());
  }
}

void StackNet::capture(const std::string& path) {
  auto file = driver::CaptureFile::create(path, {});
  if (file) file_ = std::make_unique<driver::CaptureFile>(std::move(*file));
}

void StackNet::join_by_wire(std::uint32_t a, std::uint32_t b,
                            const std::array<port::FaultOptions, 2>& faults) {
  auto left = driver::make_link().value();
  auto right = driver::make_link().value();
  left.second.peer_mailbox = host(a).mailbox();
  right.second.peer_mailbox = host(b).mailbox();
  host(a).add_link(std::move(left.first), host(b), true);
  host(b).add_link(std::move(right.first), host(a), true);
  wires_.push_back(std::make_unique<StackWire>(
      std::array{std::move(left.second), std::move(right.second)}, faults));
  wires_.back()->capture(file_.get());
  world_.add(*wires_.back());
}

void StackNet::join_by_link(std::uint32_t a, std::uint32_t b) {
  auto ends = driver::make_link().value();
  ends.first.peer_mailbox = host(b).mailbox();
  ends.second.peer_mailbox = host(a).mailbox();
  host(a).add_link(std::move(ends.first), host(b), false);
  host(b).add_link(std::move(ends.second), host(a), false);
}

std::uint32_t StackNet::plan(const DuplexPlan& plan) {
  plans_.push_back(plan);
  return static_cast<std::uint32_t>(plans_.size() - 1);
}

void StackNet::serve(std::uint32_t i, bool v6, const tcp::Options& options) {
  servers_.push_back(std::make_unique<Server>(host(i), plans_, v6, options));
}

void StackNet::open(std::uint32_t i, std::uint32_t first, std::uint32_t last,
                    const Client::Target& target) {
  clients_.push_back(std::make_unique<Client>(host(i), plans_, first, last, target));
  host(i).add(*clients_.back());
}

void StackNet::exchange(std::uint32_t a, std::uint32_t b, std::uint32_t count, std::uint64_t seed) {
  datagrams_.push_back(std::make_unique<Datagrams>(host(a), host(b), count, seed));
  datagrams_.push_back(std::make_unique<Datagrams>(host(b), host(a), count, seed + 1));
}

bool StackNet::all_finished() const {
  const auto finished = [](const auto& app) { return app->finished(); };
  return std::all_of(clients_.begin(), clients_.end(), finished) &&
         std::all_of(servers_.begin(), servers_.end(), finished) &&
         std::all_of(datagrams_.begin(), datagrams_.end(), finished);
}

void StackNet::run(base::Duration limit) {
  end_ = world_.run(world_.now() + limit, [this] { return all_finished(); });
  if (end_ != sim::World::End::kDone) return;
  for (const auto& server : servers_) server->stop(world_.now());
  for (const auto& app : datagrams_) app->stop(world_.now());
  // TIME-WAIT, orphans, halves of datagrams, and what is still on the wire.
  quiet_ = world_.run(world_.now() + base::Duration::seconds(3'600), [] { return false; });
}

std::string StackNet::check_streams(bool expect_errors) const {
  std::string s;
  const auto check = [&](const auto& app) {
    for (const auto& end : app->ends()) {
      const bool good = expect_errors ? !end->corrupted() : end->complete();
      if (!good) s += "\n  " + end->describe();
    }
  };
  for (const auto& client : clients_) check(client);
  for (const auto& server : servers_) check(server);
  for (const auto& app : datagrams_) {
    if (app->corrupted()) s += "\n  " + app->describe();
  }
  return s;
}

std::string StackNet::verdict(bool expect_errors) const {
  std::string s;
  if (end_ != sim::World::End::kDone || quiet_ != sim::World::End::kQuiet) {
    s += std::string("ran until: ") + name(end_) + ", then until: " + name(quiet_);
    for (const auto& client : clients_) s += "\n  " + client->describe();
    for (const auto& server : servers_) s += "\n  " + server->describe();
    for (const auto& app : datagrams_) s += "\n  " + app->describe();
    return s;
  }
  s = check_streams(expect_errors);
  for (const auto& host : hosts_) {
    const std::string leaks = host->leaks();
    if (!leaks.empty()) s += "\n  " + leaks;
  }
  return s;
}

}  // namespace ringway::scenario
