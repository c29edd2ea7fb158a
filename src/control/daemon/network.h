#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"
#include "steering/table_writer.h"

namespace ringway::control::daemon {

using steering::StackId;
using SessionId = std::uint32_t;

/// What the daemon holds of a stack. Without an arena the stack is only known from the table: its
/// process has not told this daemon of it yet, and `process` (a pidfd) says when it ends.
struct StackState {
  base::UniqueFd arena, mailbox, doorbell, life;
  base::UniqueFd process;
  std::set<SessionId> holders;
  std::set<std::uint32_t> links;
  bool reaped = false;  // its last holder is gone, a reaper has the arena

  bool claimed() const { return static_cast<bool>(arena); }
};

/// A link's two ends; [0] made the memory. `told`: whether that end's process knows of it.
struct LinkState {
  base::UniqueFd memory;
  std::array<StackId, 2> ends;
  std::array<bool, 2> told{};

  std::optional<std::uint32_t> side_of(StackId id) const {
    if (ends[0] == id) return 0;
    if (ends[1] == id) return 1;
    return std::nullopt;
  }
};

/// One network: its published table and what the daemon keeps beside it. Plain bookkeeping; talks
/// to nobody.
class Network {
 public:
  /// Makes NAME.table in the runtime directory, in place of one that is there.
  static base::Result<Network> create(int directory, const steering::Network& description);
  /// Continues the table that an earlier daemon left.
  static base::Result<Network> reopen(int directory, std::string_view name);

  std::string name() const;
  /// The index of the host of that name, made if it is not there; empty: the common host.
  base::Result<steering::HostIndex> host_for(std::string_view name);
  /// Takes a host away that nothing uses (but the common one).
  void drop_host(steering::HostIndex host);

  /// The link of two stacks, if they have one.
  std::optional<std::uint32_t> link_between(StackId a, StackId b) const;
  void add_link(std::uint32_t number, LinkState link);
  void remove_link(std::uint32_t number);
  StackState* stack(StackId id);
  LinkState* link(std::uint32_t number);

  steering::TableWriter& table() { return table_; }
  const steering::TableWriter& table() const { return table_; }
  /// Opened for reading only: what clients get.
  int table_fd() const { return reader_.get(); }
  std::map<std::uint32_t, StackState>& stacks() { return stacks_; }
  std::map<std::uint32_t, LinkState>& links() { return links_; }

  std::set<SessionId> sessions;  // programs that joined

 private:
  Network(steering::TableWriter table, base::UniqueFd reader)
      : table_(std::move(table)), reader_(std::move(reader)) {}

  steering::TableWriter table_;
  base::UniqueFd reader_;
  std::map<std::uint32_t, StackState> stacks_;  // by StackId::raw
  std::map<std::uint32_t, LinkState> links_;    // by number
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> pairs_;
};

/// The subnet of a network that asked for none: 10.111.0.0/16 for the first, then the next that is
/// free. `taken`: those in use. Empty if none is left.
std::optional<base::Prefix> choose_subnet(const std::set<std::uint32_t>& taken);

/// A network's description from its name and IPv4 subnet; IPv6 is a /64 of fd52:5757::/32 (RFC 4193
/// in form) by name.
steering::Network describe(std::string_view name, const base::Prefix& prefix4, bool persistent);

}  // namespace ringway::control::daemon
