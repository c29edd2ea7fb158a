#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "steering/layout.h"
#include "steering/stack_id.h"

namespace ringway::steering {

/// What a listener asks for. Port 0: the table chooses one.
struct ListenKey {
  Protocol protocol = Protocol::kTcp;
  std::uint16_t port = 0;
  Scope scope = Scope::kAny;
  base::IpAddress address{};  // for Scope::kSpecific
};

struct PortBlock {
  std::uint16_t first = 0;
  std::uint16_t count = 0;
};

/// The one writer of a table: the daemon, or a test. Not thread-safe. Refusals carry the errno that
/// a socket call would give in `Error::os_errno`. The rules of who may hold what are here, so the
/// table itself is the only record.
class TableWriter {
 public:
  /// Makes the empty file behind `fd` a table of a network without hosts. `fd` is only looked at.
  static base::Result<TableWriter> create(int fd, const Network& network, std::uint64_t identity);
  /// Continues a table that an earlier writer left, wherever it stopped.
  static base::Result<TableWriter> reopen(int fd);

  TableWriter(TableWriter&& other) noexcept;
  TableWriter& operator=(TableWriter&& other) noexcept;
  TableWriter(const TableWriter&) = delete;
  TableWriter& operator=(const TableWriter&) = delete;
  ~TableWriter();

  void set_network(const Network& network);
  /// `host.index` and `host.used` are set here. EEXIST if the name is taken, ENOSPC if 255 are
  /// there.
  base::Result<HostIndex> add_host(Host host);
  /// EBUSY while stacks live on it.
  base::Result<void> remove_host(HostIndex host);

  /// `stack.id` and `stack.alive` are set here. ENOSPC if 4096 live; EEXIST for a second gateway.
  base::Result<StackId> add_stack(Stack stack);
  /// Gives a stack that this table does not know the number that it had before. EEXIST if another
  /// has it.
  base::Result<void> restore_stack(const Stack& stack);
  /// Another process of the stack is now the one to look for.
  void set_stack_process(StackId id, std::int32_t pid, std::uint64_t start_time);
  /// Drops the stack's listeners and the gateway mark. Its blocks and its number stay until
  /// remove_stack.
  void release_listeners(StackId id);
  /// Drops everything that the stack has; nothing if it is not alive.
  void remove_stack(StackId id);

  /// One more holder of a port: EADDRINUSE unless every holder in the way shares it
  /// (kEntryReusePort, or kEntryShared within one process); EADDRNOTAVAIL if the address is not the
  /// host's; ENOSPC. Asking again for what the stack already holds changes nothing. Returns the
  /// port.
  base::Result<std::uint16_t> lease_listen(StackId id, ListenKey key, std::uint8_t flags);
  /// `id` joins `from`'s entry, whatever its flags: for a forked child. ENOENT if there is none.
  base::Result<void> clone_listen(StackId id, StackId from, const ListenKey& key);
  base::Result<void> set_active(StackId id, const ListenKey& key, bool active);
  base::Result<void> release_listen(StackId id, const ListenKey& key);

  /// A block of source ports that no other stack of the network has: 512 while there are plenty,
  /// later 64. EADDRNOTAVAIL when all are given out.
  base::Result<PortBlock> lease_ephemeral(StackId id, Protocol protocol);
  base::Result<void> release_ephemeral(StackId id, Protocol protocol, PortBlock block);

  std::uint32_t next_link_number();
  /// No later number is `number`.
  void reserve_link_number(std::uint32_t number);
  std::optional<Stack> living(StackId id) const;
  Host host(HostIndex index) const { return layout_->hosts[index].load(); }
  Network network() const { return layout_->header.network.load(); }
  std::uint64_t identity() const { return layout_->header.identity; }
  std::uint32_t stack_limit() const;
  Stack stack(std::uint16_t index) const { return layout_->stacks[index].load(); }
  std::uint32_t living_stacks() const { return living_stacks_; }

 private:
  struct Place;  // an entry and the one before it in its chain
  class Change;  // holds `sequence` odd

  explicit TableWriter(TableLayout* layout) : layout_(layout) {}
  static base::Result<TableWriter> map(int fd);
  void publish(const Stack& stack);
  void repair();
  void rebuild_chains();

  std::atomic<std::uint32_t>& head(Protocol protocol, std::uint16_t port) const;
  bool conflicts(const Entry& wanted, const Stack& owner) const;
  Place find(StackId id, const ListenKey& key) const;
  base::Result<void> append(const Entry& entry);
  void unlink(const Place& place);
  bool owns_address(const Stack& owner, const ListenKey& key) const;
  base::Result<std::uint16_t> choose_port(const Entry& wanted, const Stack& owner);
  bool granule_usable(Protocol protocol, std::uint32_t granule) const;
  std::optional<std::uint32_t> free_run(Protocol protocol, std::uint32_t granules) const;

  TableLayout* layout_ = nullptr;
  std::vector<std::uint32_t> free_entries_;
  std::uint32_t stack_cursor_ = 0;
  std::uint32_t port_cursor_ = 0;
  std::uint32_t living_stacks_ = 0;
  std::array<std::uint32_t, kProtocols> leased_granules_{};
};

}  // namespace ringway::steering
