#include "steering/table.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <utility>

#include "base/random.h"
#include "base/sys.h"

namespace ringway::steering {
namespace {

using base::ErrorCode;
using base::IpAddress;
using base::Result;

// A write takes about a microsecond: that long a reader spins. A writer that was preempted in the
// middle is given the processor, and where it has none it is slept for, longer than the scheduler
// lets it wait; one that died there is waited for no longer than all of this, about 40 ms.
constexpr int kSpins = 64;
constexpr int kYields = 32;
constexpr int kTries = 384;
constexpr timespec kSleep{.tv_sec = 0, .tv_nsec = 100'000};

void wait_for_writer(int tried) {
  if (tried < kSpins) {
    __builtin_ia32_pause();
  } else if (tried < kSpins + kYields) {
    ::sched_yield();
  } else {
    ::nanosleep(&kSleep, nullptr);
  }
}

/// One moment's picture of what `read` looks at; the last try's if the writer never paused.
template <typename F>
auto consistently(const TableLayout& table, F&& read) {
  for (int i = 0; i < kTries; ++i) {
    const auto before = table.header.sequence.load(std::memory_order_acquire);
    if ((before & 1) != 0) {
      wait_for_writer(i);
      continue;
    }
    auto answer = read();
    if (table.header.sequence.load(std::memory_order_relaxed) == before) return answer;
  }
  return read();
}

std::uint32_t limit(const std::atomic<std::uint32_t>& word, std::uint32_t most) {
  return std::min(word.load(std::memory_order_acquire), most);
}

std::optional<HostIndex> host_at(const TableLayout& table, const IpAddress& address) {
  if (address.is_loopback() || address.is_any()) return kLocalhost;
  const auto end = limit(table.header.host_limit, kMaxHosts);
  for (std::uint32_t i = 1; i < end; ++i) {
    const Host host = table.hosts[i].load();
    if (host.used != 0 && (host.ipv4 == address || host.ipv6 == address)) {
      return static_cast<HostIndex>(i);
    }
  }
  return std::nullopt;
}

bool scope_takes(Scope scope, const IpAddress& address) {
  switch (scope) {
    case Scope::kAny:
      return true;
    case Scope::kAnyV4:
      return address.is_v4();
    case Scope::kAnyV6:
      return address.is_v6();
    case Scope::kSpecific:
      return false;
  }
  return false;
}

struct Wanted {
  IpAddress address;
  HostIndex host;
  HostIndex from;
};

// How well an entry fits; 0 is not at all. As in Linux, a bind to the address wins over a bind to
// any.
int fit(const Entry& entry, const Wanted& wanted) {
  if ((entry.flags & kEntryUsed) == 0) return 0;
  const bool local = wanted.host == kLocalhost;
  if (!local && entry.host != wanted.host) return 0;
  if (entry.scope == Scope::kSpecific) return entry.address == wanted.address ? 3 : 0;
  if (!scope_takes(entry.scope, wanted.address)) return 0;
  return !local || entry.host == wanted.from ? 2 : 1;
}

/// Calls `visit(entry)` for the chain of a port until it returns true or the chain ends.
template <typename F>
void walk(const TableLayout& table, Protocol protocol, std::uint16_t port, F&& visit) {
  auto next = table.heads[static_cast<std::size_t>(protocol)][port].load(std::memory_order_acquire);
  for (std::uint32_t steps = 0; next != 0 && steps < kMaxHoldersPerPort; ++steps) {
    if (next > kMaxEntries) return;
    const Entry entry = table.entries[next - 1].load();
    if (visit(entry)) return;
    next = entry.next;
  }
}

/// The holders that compete for a flow: those of the best fit, and at localhost of the first host
/// that has it.
struct Candidates {
  int fit = 0;
  HostIndex host = kNoHost;
  std::uint32_t active = 0;
  std::uint32_t all = 0;

  void add(const Entry& entry, int its_fit) {
    if (its_fit > fit) *this = {its_fit, entry.host, 0, 0};
    if (!holds(entry, its_fit)) return;
    ++all;
    if ((entry.flags & kEntryActive) != 0) ++active;
  }
  bool holds(const Entry& entry, int its_fit) const {
    return its_fit != 0 && its_fit == fit && entry.host == host;
  }
};

std::optional<StackId> listener(const TableLayout& table, Protocol protocol, std::uint16_t port,
                                const Wanted& wanted, std::uint32_t flow_hash) {
  Candidates candidates;
  walk(table, protocol, port, [&](const Entry& entry) {
    candidates.add(entry, fit(entry, wanted));
    return false;
  });
  if (candidates.all == 0) return std::nullopt;
  const bool active_only = candidates.active > 0;
  const std::uint64_t count = active_only ? candidates.active : candidates.all;
  const std::uint64_t mixed = base::Random::mix(flow_hash) >> 32;
  auto skip = static_cast<std::uint32_t>((mixed * count) >> 32);
  std::optional<StackId> chosen;
  walk(table, protocol, port, [&](const Entry& entry) {
    if (!candidates.holds(entry, fit(entry, wanted))) return false;
    if (active_only && (entry.flags & kEntryActive) == 0) return false;
    chosen = entry.stack;
    return skip-- == 0;
  });
  return chosen;
}

std::optional<Stack> living(const TableLayout& table, StackId id) {
  if (!id.valid() || id.index >= kMaxStacks) return std::nullopt;
  const Stack stack = table.stacks[id.index].load();
  if (stack.alive == 0 || stack.id != id) return std::nullopt;
  return stack;
}

std::optional<StackId> block_owner(const TableLayout& table, Protocol protocol, std::uint16_t port,
                                   HostIndex host) {
  if (port < kEphemeralFirst) return std::nullopt;
  const auto granule = (port - kEphemeralFirst) / kGranulePorts;
  const auto id = StackId::from_raw(
      table.ephemeral[static_cast<std::size_t>(protocol)][granule].load(std::memory_order_acquire));
  const auto stack = living(table, id);
  if (!stack || (host != kLocalhost && stack->host != host)) return std::nullopt;
  return id;
}

std::optional<StackId> gateway_of(const TableLayout& table) {
  const auto id = StackId::from_raw(table.header.gateway.load(std::memory_order_acquire));
  if (!living(table, id)) return std::nullopt;
  return id;
}

}  // namespace

Result<void> check_layout(const TableLayout& layout) {
  if (layout.header.magic != kMagic) {
    return base::fail(ErrorCode::kCorrupt, "the steering table is none: its magic number is wrong");
  }
  if (layout.header.version != kLayoutVersion || layout.header.layout != kLayoutHash) {
    return base::fail(
        ErrorCode::kCorrupt,
        fmt::format("the steering table has version {}, this program knows {}: end ringwayd with "
                    "`ringway down` and use programs of one release",
                    layout.header.version, kLayoutVersion));
  }
  return {};
}

Result<Table> Table::attach(int fd) {
  struct stat status {};
  if (base::sys::fstat(fd, &status) != 0)
    return base::fail_errno("cannot look at the steering table");
  if (status.st_size != static_cast<off_t>(sizeof(TableLayout))) {
    return base::fail(ErrorCode::kCorrupt,
                      fmt::format("the steering table has {} bytes, {} are expected",
                                  status.st_size, sizeof(TableLayout)));
  }
  void* at = ::mmap(nullptr, sizeof(TableLayout), PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return base::fail_errno("cannot map the steering table");
  Table table(static_cast<const TableLayout*>(at));
  if (auto checked = check_layout(*table.layout_); !checked) {
    return tl::unexpected(std::move(checked).error());
  }
  return table;
}

Table::Table(Table&& other) noexcept : layout_(std::exchange(other.layout_, nullptr)) {}

Table& Table::operator=(Table&& other) noexcept {
  std::swap(layout_, other.layout_);
  return *this;
}

Table::~Table() {
  if (layout_ != nullptr) ::munmap(const_cast<TableLayout*>(layout_), sizeof(TableLayout));
}

std::optional<HostIndex> Table::find_host(const IpAddress& address) const {
  return consistently(*layout_, [&] { return host_at(*layout_, address); });
}

std::optional<HostIndex> Table::find_host(std::string_view name) const {
  return consistently(*layout_, [&]() -> std::optional<HostIndex> {
    for (std::uint32_t i = 0; i < host_limit(); ++i) {
      const Host host = layout_->hosts[i].load();
      if (host.used != 0 && text_of(host.name) == name) return static_cast<HostIndex>(i);
    }
    return std::nullopt;
  });
}

std::optional<StackId> Table::lookup(const IpAddress& destination, Protocol protocol,
                                     std::uint16_t port, std::uint32_t flow_hash,
                                     HostIndex from) const {
  if (static_cast<std::uint32_t>(protocol) >= kProtocols) return std::nullopt;
  return consistently(*layout_, [&]() -> std::optional<StackId> {
    const auto host = host_at(*layout_, destination);
    if (!host) return destination.is_multicast() ? std::nullopt : gateway_of(*layout_);
    Wanted wanted{destination, *host, from};
    // A connection to the unspecified address is one to localhost, as on Linux.
    if (destination.is_any()) {
      wanted.address = destination.is_v4() ? IpAddress::loopback_v4() : IpAddress::loopback_v6();
    }
    const auto found = listener(*layout_, protocol, port, wanted, flow_hash);
    return found ? found : block_owner(*layout_, protocol, port, *host);
  });
}

bool Table::holds(StackId id, const IpAddress& address, Protocol protocol,
                  std::uint16_t port) const {
  if (static_cast<std::uint32_t>(protocol) >= kProtocols) return false;
  return consistently(*layout_, [&] {
    const auto host = host_at(*layout_, address);
    const auto stack = living(*layout_, id);
    if (!host || !stack) return false;
    const Wanted wanted{address, *host, stack->host};
    bool found = false;
    walk(*layout_, protocol, port, [&](const Entry& entry) {
      found = entry.stack == id && fit(entry, wanted) != 0;
      return found;
    });
    return found || block_owner(*layout_, protocol, port, *host) == id;
  });
}

std::optional<HostIndex> Table::host_of_stack(StackId id) const {
  return consistently(*layout_, [&]() -> std::optional<HostIndex> {
    const auto stack = living(*layout_, id);
    if (!stack) return std::nullopt;
    return stack->host;
  });
}

std::optional<StackId> Table::gateway() const {
  return consistently(*layout_, [&] { return gateway_of(*layout_); });
}

std::uint64_t Table::generation() const {
  return layout_->header.sequence.load(std::memory_order_acquire) >> 1;
}

Network Table::network() const {
  return consistently(*layout_, [&] { return layout_->header.network.load(); });
}

std::optional<Host> Table::host(HostIndex index) const {
  if (index >= kMaxHosts) return std::nullopt;
  const Host host = consistently(*layout_, [&] { return layout_->hosts[index].load(); });
  if (host.used == 0) return std::nullopt;
  return host;
}

std::optional<Stack> Table::stack(std::uint16_t index) const {
  if (index >= kMaxStacks) return std::nullopt;
  const Stack stack = consistently(*layout_, [&] { return layout_->stacks[index].load(); });
  if (stack.alive == 0) return std::nullopt;
  return stack;
}

std::optional<Entry> Table::entry(std::uint32_t position) const {
  if (position >= kMaxEntries) return std::nullopt;
  const Entry entry = consistently(*layout_, [&] { return layout_->entries[position].load(); });
  if ((entry.flags & kEntryUsed) == 0) return std::nullopt;
  return entry;
}

std::uint32_t Table::host_limit() const { return limit(layout_->header.host_limit, kMaxHosts); }
std::uint32_t Table::stack_limit() const { return limit(layout_->header.stack_limit, kMaxStacks); }
std::uint32_t Table::entry_limit() const { return limit(layout_->header.entry_limit, kMaxEntries); }

}  // namespace ringway::steering
