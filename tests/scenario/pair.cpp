#include "tests/scenario/pair.h"

#include <gtest/gtest.h>

namespace ringway::scenario {
namespace {

sim::HostOptions complete(sim::HostOptions host, const PairOptions& o, bool first) {
  const auto v4 = [](bool is_first) { return base::IpAddress::v4(10, 0, 0, is_first ? 1 : 2); };
  const auto v6 = [](bool is_first) { return *base::parse_ip(is_first ? "fd00::1" : "fd00::2"); };
  host.name = first ? "a" : "b";
  host.address = o.v6 ? v6(first) : v4(first);
  host.peer = o.v6 ? v6(!first) : v4(!first);
  host.caps.mtu = o.mtu;
  host.caps.max_frame = o.max_frame;
  host.caps.reliable = o.reliable;
  host.caps.tx_checksum = o.reliable || o.tx_checksum;
  host.caps.rx_checksum_trusted = o.reliable || o.tx_checksum;
  host.frames = o.frames;
  host.slot_bytes = o.slot_bytes;
  host.rx_frames = o.rx_frames;
  return host;
}

}  // namespace

Pair::Pair(const PairOptions& options)
    : a_(std::make_unique<sim::TcpHost>(complete(options.a, options, true))),
      b_(std::make_unique<sim::TcpHost>(complete(options.b, options, false))) {
  sim::TcpHost::join(*a_, *b_);
  world_.add(*a_);
  world_.add(*b_);
}

void Pair::open(const StreamPlan& a, const StreamPlan& b, const tcp::Options& options) {
  const auto i = clients_.size();
  clients_.push_back(std::make_unique<StreamApp>(*a_, a, b.seed));
  servers_.push_back(std::make_unique<StreamApp>(*b_, b, a.seed));
  expected_a_.push_back(b.send_bytes);
  expected_b_.push_back(a.send_bytes);
  world_.add(*clients_[i]);
  world_.add(*servers_[i]);
  const auto port = static_cast<std::uint16_t>(40'000 + i);
  clients_[i]->connect({a_->options().address, port}, {b_->options().address, kPort}, options,
                       world_.now());
}

void Pair::listen(const tcp::Options& options, std::uint32_t backlog) {
  const std::uint32_t socket = b_->new_socket();
  const tcp::Opened o = b_->tcp().listen({b_->options().address, kPort}, backlog, socket, options);
  ASSERT_EQ(o.error, 0);
  listener_ = o.index;
  b_->on_event(socket, [this](const tcp::Event&) {
    while (const std::uint32_t connection = b_->tcp().accept(listener_)) {
      const std::size_t i = b_->tcp().remote(connection).port - 40'000U;
      ASSERT_LT(i, servers_.size());
      ++accepted_;
      servers_[i]->adopt(connection, world_.now());
    }
  });
}

bool Pair::all_finished() const {
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    if (!clients_[i]->finished()) return false;
    // A client that gave up early may leave a server that never opens.
    const bool never = !servers_[i]->opened() && (clients_[i]->aborted() || clients_[i]->error());
    if (!servers_[i]->finished() && !never) return false;
  }
  return true;
}

void Pair::run(base::Duration limit) {
  end_ = world_.run(world_.now() + limit, [this] { return all_finished(); });
  if (end_ != sim::World::End::kDone) return;
  if (listener_ != 0) b_->tcp().close_listener(listener_, world_.now());
  a_->touch();
  b_->touch();
  // TIME-WAIT, orphans and what is still on the wire.
  quiet_ = world_.run(world_.now() + base::Duration::seconds(3'600), [] { return false; });
}

void Pair::check_leaks(sim::TcpHost& host, const std::string& what) {
  EXPECT_EQ(host.connections_in_use(), 0U) << what << ' ' << host.options().name;
  EXPECT_EQ(host.frames_in_use(), 0U) << what << ' ' << host.options().name;
  EXPECT_EQ(host.cells_in_use(), 0U) << what << ' ' << host.options().name;
  EXPECT_EQ(host.stale_deadlines(), 0U) << what << ' ' << host.options().name;
}

std::string Pair::describe() const {
  std::string s;
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    s += "\n  " + clients_[i]->describe() + "\n  " + servers_[i]->describe();
  }
  return s;
}

void Pair::check(const std::string& what, bool expect_errors) {
  ASSERT_EQ(end_, sim::World::End::kDone) << what << ": " << name(end_) << describe();
  ASSERT_EQ(quiet_, sim::World::End::kQuiet) << what << ": " << name(quiet_) << describe();
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    EXPECT_FALSE(clients_[i]->corrupted() || servers_[i]->corrupted()) << what << describe();
    if (expect_errors) continue;
    EXPECT_EQ(clients_[i]->received(), expected_a_[i]) << what << describe();
    EXPECT_EQ(servers_[i]->received(), expected_b_[i]) << what << describe();
    EXPECT_EQ(clients_[i]->error(), 0) << what << describe();
    EXPECT_EQ(servers_[i]->error(), 0) << what << describe();
  }
  check_leaks(*a_, what);
  check_leaks(*b_, what);
}

}  // namespace ringway::scenario
