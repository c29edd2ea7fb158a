#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/address.h"
#include "base/result.h"
#include "steering/layout.h"
#include "steering/stack_id.h"

namespace ringway::steering {

/// A program's read-only view of its network's table: who owns an address and a port.
/// Reads allocate nothing, lock nothing and end after a bounded number of tries; every index that
/// is read is checked. Any number of threads may read at once.
class Table {
 public:
  /// Maps the table that the daemon passed. `fd` is only looked at; the mapping outlives it.
  /// Errors: kCorrupt if it is no table of this version, kSystem.
  static base::Result<Table> attach(int fd);

  Table(Table&& other) noexcept;
  Table& operator=(Table&& other) noexcept;
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;
  ~Table();

  /// The host that owns `address`. Loopback and the unspecified address are the shared localhost.
  std::optional<HostIndex> find_host(const base::IpAddress& address) const;
  std::optional<HostIndex> find_host(std::string_view name) const;

  /// Whom a packet or a new connection to `destination` goes to: the listeners of the port, spread
  /// by `flow_hash` over those that are active (over all, if none is); else the owner of the
  /// ephemeral block; else nobody. An address that no host owns belongs to the gateway, if there is
  /// one. At localhost, listeners of `from` (the caller's host) come before those of other hosts.
  std::optional<StackId> lookup(const base::IpAddress& destination, Protocol protocol,
                                std::uint16_t port, std::uint32_t flow_hash,
                                HostIndex from = kNoHost) const;

  /// True if `id` may use `address` and `port` as its own: as one of the port's listeners, or by
  /// the ephemeral block.
  bool holds(StackId id, const base::IpAddress& address, Protocol protocol,
             std::uint16_t port) const;

  /// The host of a stack that is alive.
  std::optional<HostIndex> host_of_stack(StackId id) const;
  std::optional<StackId> gateway() const;

  /// Changes with every change of the table: cached answers of an earlier generation are to be
  /// looked up again.
  std::uint64_t generation() const;
  /// Tells this table from one that replaced it.
  std::uint64_t identity() const { return layout_->header.identity; }

  Network network() const;
  std::optional<Host> host(HostIndex index) const;
  /// Empty for a number that no living stack has.
  std::optional<Stack> stack(std::uint16_t index) const;
  /// For listings: `position` from 0 to entry_limit() - 1; empty where nothing is.
  std::optional<Entry> entry(std::uint32_t position) const;
  std::uint32_t host_limit() const;
  std::uint32_t stack_limit() const;
  std::uint32_t entry_limit() const;

 private:
  explicit Table(const TableLayout* layout) : layout_(layout) {}

  const TableLayout* layout_ = nullptr;
};

/// Size and marks of a mapped table, before anything else in it is believed.
base::Result<void> check_layout(const TableLayout& layout);

/// The name in a zero-terminated field; a field without a zero is taken whole.
template <std::size_t N>
std::string_view text_of(const std::array<char, N>& field) {
  const std::string_view whole(field.data(), N);
  return whole.substr(0, whole.find('\0'));
}
template <std::size_t N>
void set_text(std::array<char, N>& field, std::string_view text) {
  field.fill('\0');
  text.substr(0, N - 1).copy(field.data(), N - 1);
}

}  // namespace ringway::steering
