#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sim/tcp_host.h"
#include "sim/world.h"
#include "tests/scenario/stream_app.h"

namespace ringway::scenario {

/// Two hosts and the wire between them. `a` opens, `b` listens.
struct PairOptions {
  sim::HostOptions a;
  sim::HostOptions b;
  bool v6 = false;
  bool reliable = false;
  bool tx_checksum = false;
  std::uint16_t mtu = 1500;
  std::uint32_t max_frame = 1514;
  std::uint32_t frames = 2048;
  std::uint32_t slot_bytes = 4096;
  std::uint32_t rx_frames = 0;
};

class Pair {
 public:
  explicit Pair(const PairOptions& options);

  static constexpr std::uint16_t kPort = 80;

  /// One connection, with what either side does on it.
  void open(const StreamPlan& a, const StreamPlan& b, const tcp::Options& options);
  void listen(const tcp::Options& options, std::uint32_t backlog = 128);
  /// Until all applications are done; then until the hosts are quiet.
  void run(base::Duration limit);
  /// `expect_errors`: somebody resets, so streams may end early.
  void check(const std::string& what, bool expect_errors);

  sim::World& world() { return world_; }
  sim::TcpHost& a() { return *a_; }
  sim::TcpHost& b() { return *b_; }
  StreamApp& client(std::size_t i) { return *clients_[i]; }
  StreamApp& server(std::size_t i) { return *servers_[i]; }
  sim::World::End end() const { return end_; }

 private:
  bool all_finished() const;
  void check_leaks(sim::TcpHost& host, const std::string& what);
  std::string describe() const;

  sim::World world_;
  std::unique_ptr<sim::TcpHost> a_;
  std::unique_ptr<sim::TcpHost> b_;
  std::vector<std::unique_ptr<StreamApp>> clients_;
  std::vector<std::unique_ptr<StreamApp>> servers_;
  std::vector<std::unique_ptr<StreamApp>> planned_;  ///< servers, by the client's port
  std::vector<std::uint64_t> expected_a_;
  std::vector<std::uint64_t> expected_b_;
  std::uint32_t listener_ = 0;
  std::size_t accepted_ = 0;
  sim::World::End end_ = sim::World::End::kDone;
  sim::World::End quiet_ = sim::World::End::kDone;
};

}  // namespace ringway::scenario
