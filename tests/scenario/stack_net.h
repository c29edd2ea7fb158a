#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/scenario/socket_apps.h"
#include "tests/scenario/stack_host.h"
#include "tests/scenario/stack_wire.h"

namespace ringway::scenario {

/// Hosts with whole stacks, each joined to each other by a wire or a link.
class StackNet {
 public:
  explicit StackNet(std::uint32_t hosts);
  /// A capture of all wires is written to `path`; before the first wire is made.
  void capture(const std::string& path);
  void join_by_wire(std::uint32_t a, std::uint32_t b,
                    const std::array<port::FaultOptions, 2>& faults);
  void join_by_link(std::uint32_t a, std::uint32_t b);

  StackHost& host(std::uint32_t i) { return *hosts_[i]; }
  base::Instant now() const { return world_.now(); }
  /// One more stream; its number.
  std::uint32_t plan(const DuplexPlan& plan);
  void serve(std::uint32_t host, bool v6, const tcp::Options& options);
  /// After all plans have been made.
  void open(std::uint32_t host, std::uint32_t first, std::uint32_t last,
            const Client::Target& target);
  /// Datagrams both ways.
  void exchange(std::uint32_t a, std::uint32_t b, std::uint32_t count, std::uint64_t seed);

  /// Until all applications are done; then closes the rest and runs until nobody has anything left
  /// to do.
  void run(base::Duration limit);
  /// What is wrong; empty: nothing. `expect_errors`: somebody resets, so streams may end early.
  std::string verdict(bool expect_errors) const;

 private:
  bool all_finished() const;
  std::string check_streams(bool expect_errors) const;

  sim::World world_;
  std::unique_ptr<driver::CaptureFile> file_;
  std::vector<std::unique_ptr<StackHost>> hosts_;
  std::vector<std::unique_ptr<StackWire>> wires_;
  Plans plans_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<Datagrams>> datagrams_;
  sim::World::End end_ = sim::World::End::kDone;
  sim::World::End quiet_ = sim::World::End::kDone;
};

}  // namespace ringway::scenario
