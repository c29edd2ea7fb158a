#include <fmt/format.h>

#include "steering/table_change.h"
#include "steering/table_writer.h"

namespace ringway::steering {

using base::Result;

namespace {

constexpr std::uint32_t kGranulesPerBlock = 8;
// Ports for "choose one" lie below the blocks, which are given out from the top, where programs
// seldom name one.
constexpr std::uint32_t kChosenFirst = 32768;
constexpr std::uint32_t kChosenCount = 16384;

bool takes(Scope scope, const base::IpAddress& address) {
  return scope == Scope::kAny || (scope == Scope::kAnyV4 && address.is_v4()) ||
         (scope == Scope::kAnyV6 && address.is_v6());
}

// Do two binds of one port answer to a common address?
bool overlap(const Entry& a, const Entry& b) {
  if (a.scope == Scope::kSpecific && b.scope == Scope::kSpecific) return a.address == b.address;
  if (a.host != b.host) return false;
  if (a.scope == Scope::kSpecific) return takes(b.scope, a.address);
  if (b.scope == Scope::kSpecific) return takes(a.scope, b.address);
  return a.scope == b.scope || a.scope == Scope::kAny || b.scope == Scope::kAny;
}

bool same_key(const Entry& entry, const ListenKey& key) {
  return entry.scope == key.scope &&
         (key.scope != Scope::kSpecific || entry.address == key.address);
}

tl::unexpected<base::Error> no_such_stack() { return refuse(ENOENT, "there is no such stack"); }
tl::unexpected<base::Error> no_such_entry(std::uint16_t port) {
  return refuse(ENOENT, fmt::format("the stack does not hold port {} at that address", port));
}

}  // namespace

std::atomic<std::uint32_t>& TableWriter::head(Protocol protocol, std::uint16_t port) const {
  return layout_->heads[static_cast<std::size_t>(protocol)][port];
}

bool TableWriter::owns_address(const Stack& owner, const ListenKey& key) const {
  if (key.scope != Scope::kSpecific || key.address.is_loopback()) return true;
  const Host its = host(owner.host);
  return its.used != 0 && (its.ipv4 == key.address || its.ipv6 == key.address);
}

bool TableWriter::conflicts(const Entry& wanted, const Stack& owner) const {
  auto next = head(wanted.protocol, wanted.port).load(std::memory_order_relaxed);
  while (next != 0) {
    const Entry there = layout_->entries[next - 1].load();
    next = there.next;
    if (!overlap(there, wanted)) continue;
    const auto both = static_cast<std::uint8_t>(there.flags & wanted.flags);
    if ((both & kEntryReusePort) != 0) continue;
    const auto holder = living(there.stack);
    if ((both & kEntryShared) != 0 && holder && holder->pid == owner.pid) continue;
    return true;
  }
  // A block's ports are chosen by its stack without asking.
  if (wanted.port < kEphemeralFirst) return false;
  const auto granule = (wanted.port - kEphemeralFirst) / kGranulePorts;
  const auto block = layout_->ephemeral[static_cast<std::size_t>(wanted.protocol)][granule].load(
      std::memory_order_relaxed);
  return block != 0 && block != owner.id.raw();
}

TableWriter::Place TableWriter::find(StackId id, const ListenKey& key) const {
  Place place;
  auto next = head(key.protocol, key.port).load(std::memory_order_relaxed);
  while (next != 0) {
    place.at = next - 1;
    const Entry entry = layout_->entries[place.at].load();
    if (entry.stack == id && same_key(entry, key)) return place;
    place.before = place.at;
    next = entry.next;
  }
  return {};
}

// At the tail: at localhost the host that came first is the one that is found.
Result<void> TableWriter::append(const Entry& entry) {
  if (free_entries_.empty()) return refuse(ENOSPC, "the steering table has no room for a listener");
  std::uint32_t last = kMaxEntries;
  std::uint32_t count = 0;
  for (auto next = head(entry.protocol, entry.port).load(std::memory_order_relaxed); next != 0;) {
    last = next - 1;
    next = layout_->entries[last].load().next;
    if (++count == kMaxHoldersPerPort) return refuse(ENOSPC, "1024 stacks hold that port already");
  }
  const auto place = free_entries_.back();
  free_entries_.pop_back();
  Entry fresh = entry;
  fresh.next = 0;
  layout_->entries[place].store(fresh);
  auto& limit = layout_->header.entry_limit;
  limit.store(std::max(bounded(limit, kMaxEntries), place + 1), std::memory_order_release);
  if (last == kMaxEntries) {
    head(entry.protocol, entry.port).store(place + 1, std::memory_order_release);
    return {};
  }
  Entry tail = layout_->entries[last].load();
  tail.next = place + 1;
  layout_->entries[last].store(tail);
  return {};
}

void TableWriter::unlink(const Place& place) {
  if (!place.found()) return;
  const Entry gone = layout_->entries[place.at].load();
  if (place.before == kMaxEntries) {
    head(gone.protocol, gone.port).store(gone.next, std::memory_order_release);
  } else {
    Entry before = layout_->entries[place.before].load();
    before.next = gone.next;
    layout_->entries[place.before].store(before);
  }
  layout_->entries[place.at].store(Entry{});
  free_entries_.push_back(place.at);
}

bool TableWriter::granule_usable(Protocol protocol, std::uint32_t granule) const {
  const auto p = static_cast<std::size_t>(protocol);
  if (layout_->ephemeral[p][granule].load(std::memory_order_relaxed) != 0) return false;
  const auto first = kEphemeralFirst + granule * kGranulePorts;
  for (auto port = first; port < first + kGranulePorts; ++port) {
    if (layout_->heads[p][port].load(std::memory_order_relaxed) != 0) return false;
  }
  return true;
}

Result<std::uint16_t> TableWriter::choose_port(const Entry& wanted, const Stack& owner) {
  Entry candidate = wanted;
  for (std::uint32_t i = 0; i < kChosenCount; ++i) {
    candidate.port = static_cast<std::uint16_t>(kChosenFirst + port_cursor_++ % kChosenCount);
    // Nobody's at all: a port that was chosen is not shared by accident.
    if (head(candidate.protocol, candidate.port).load(std::memory_order_relaxed) != 0) continue;
    if (!conflicts(candidate, owner)) return candidate.port;
  }
  return refuse(EADDRINUSE, "no port is free between 32768 and 49151");
}

Result<std::uint16_t> TableWriter::lease_listen(StackId id, ListenKey key, std::uint8_t flags) {
  const auto owner = living(id);
  if (!owner) return no_such_stack();
  if (!owns_address(*owner, key)) {
    return refuse(EADDRNOTAVAIL,
                  fmt::format("{} is no address of this host", to_string(key.address)));
  }
  Entry wanted;
  wanted.protocol = key.protocol;
  wanted.host = owner->host;
  wanted.scope = key.scope;
  wanted.stack = id;
  wanted.address = key.scope == Scope::kSpecific ? key.address : base::IpAddress{};
  constexpr std::uint8_t kAllowed = kEntryActive | kEntryReusePort | kEntryShared;
  wanted.flags = static_cast<std::uint8_t>(kEntryUsed | (flags & kAllowed));
  if (key.port == 0) {
    auto chosen = choose_port(wanted, *owner);
    if (!chosen) return chosen;
    key.port = *chosen;
  }
  wanted.port = key.port;
  if (find(id, key).found()) return key.port;
  if (conflicts(wanted, *owner)) {
    return refuse(EADDRINUSE, fmt::format("port {} is taken in this network", key.port));
  }
  const Change change(layout_);
  if (auto added = append(wanted); !added) return tl::unexpected(std::move(added).error());
  return key.port;
}

Result<void> TableWriter::clone_listen(StackId id, StackId from, const ListenKey& key) {
  const auto child = living(id);
  if (!child) return no_such_stack();
  const Place place = find(from, key);
  if (!place.found()) return no_such_entry(key.port);
  if (find(id, key).found()) return {};
  Entry entry = layout_->entries[place.at].load();
  if (entry.host != child->host) return refuse(EINVAL, "the two stacks are on different hosts");
  entry.stack = id;
  entry.flags = static_cast<std::uint8_t>(entry.flags & ~kEntryActive);
  const Change change(layout_);
  return append(entry);
}

Result<void> TableWriter::set_active(StackId id, const ListenKey& key, bool active) {
  const Place place = find(id, key);
  if (!place.found()) return no_such_entry(key.port);
  Entry entry = layout_->entries[place.at].load();
  entry.flags =
      static_cast<std::uint8_t>(active ? entry.flags | kEntryActive : entry.flags & ~kEntryActive);
  const Change change(layout_);
  layout_->entries[place.at].store(entry);
  return {};
}

Result<void> TableWriter::release_listen(StackId id, const ListenKey& key) {
  const Place place = find(id, key);
  if (!place.found()) return no_such_entry(key.port);
  const Change change(layout_);
  unlink(place);
  return {};
}

std::optional<std::uint32_t> TableWriter::free_run(Protocol protocol,
                                                   std::uint32_t granules) const {
  for (std::uint32_t at = kGranules; at >= granules; at -= granules) {
    const auto first = at - granules;
    bool whole = true;
    for (auto i = first; whole && i < at; ++i) whole = granule_usable(protocol, i);
    if (whole) return first;
  }
  return std::nullopt;
}

Result<PortBlock> TableWriter::lease_ephemeral(StackId id, Protocol protocol) {
  if (!living(id)) return no_such_stack();
  auto& leased = leased_granules_[static_cast<std::size_t>(protocol)];
  std::uint32_t granules = leased < kGranules / 2 ? kGranulesPerBlock : 1;
  auto first = free_run(protocol, granules);
  if (!first && granules > 1) first = free_run(protocol, granules = 1);
  if (!first) return refuse(EADDRNOTAVAIL, "every block of source ports of the network is leased");
  const Change change(layout_);
  for (auto i = *first; i < *first + granules; ++i) {
    layout_->ephemeral[static_cast<std::size_t>(protocol)][i].store(id.raw(),
                                                                    std::memory_order_release);
  }
  leased += granules;
  return PortBlock{static_cast<std::uint16_t>(kEphemeralFirst + *first * kGranulePorts),
                   static_cast<std::uint16_t>(granules * kGranulePorts)};
}

Result<void> TableWriter::release_ephemeral(StackId id, Protocol protocol, PortBlock block) {
  const bool shaped = block.first >= kEphemeralFirst && block.first % kGranulePorts == 0 &&
                      block.count != 0 && block.count % kGranulePorts == 0 &&
                      block.first + block.count <= static_cast<int>(kPorts);
  if (!shaped) return refuse(EINVAL, "that is no block of ports");
  auto& granules = layout_->ephemeral[static_cast<std::size_t>(protocol)];
  const auto first = (block.first - kEphemeralFirst) / kGranulePorts;
  const auto end = first + block.count / kGranulePorts;
  for (auto i = first; i < end; ++i) {
    if (granules[i].load(std::memory_order_relaxed) != id.raw()) {
      return refuse(ENOENT, "the stack does not hold that block");
    }
  }
  const Change change(layout_);
  for (auto i = first; i < end; ++i) granules[i].store(0, std::memory_order_release);
  leased_granules_[static_cast<std::size_t>(protocol)] -= end - first;
  return {};
}

}  // namespace ringway::steering
