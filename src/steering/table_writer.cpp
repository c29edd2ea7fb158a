#include "steering/table_writer.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>

#include "base/sys.h"
#include "steering/table.h"
#include "steering/table_change.h"

namespace ringway::steering {

using base::ErrorCode;
using base::Result;

Result<TableWriter> TableWriter::map(int fd) {
  void* at = ::mmap(nullptr, sizeof(TableLayout), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return base::fail_errno("cannot map the steering table for writing");
  return TableWriter(static_cast<TableLayout*>(at));
}

Result<TableWriter> TableWriter::create(int fd, const Network& network, std::uint64_t identity) {
  if (base::sys::ftruncate(fd, sizeof(TableLayout)) != 0) {
    return base::fail_errno("cannot size the steering table");
  }
  auto writer = map(fd);
  if (!writer) return writer;
  auto& header = writer->layout_->header;
  header.version = kLayoutVersion;
  header.layout = kLayoutHash;
  header.identity = identity;
  header.network.store(network);
  header.next_link.store(1, std::memory_order_relaxed);
  Host localhost;
  set_text(localhost.name, "localhost");
  localhost.ipv4 = base::IpAddress::loopback_v4();
  localhost.ipv6 = base::IpAddress::loopback_v6();
  localhost.used = 1;
  writer->layout_->hosts[kLocalhost].store(localhost);
  header.host_limit.store(1, std::memory_order_release);
  // Last: a file without it is not taken for a table.
  header.magic = kMagic;
  writer->rebuild_chains();
  return writer;
}

Result<TableWriter> TableWriter::reopen(int fd) {
  struct stat status {};
  if (base::sys::fstat(fd, &status) != 0)
    return base::fail_errno("cannot look at the steering table");
  if (status.st_size != static_cast<off_t>(sizeof(TableLayout))) {
    return base::fail(ErrorCode::kCorrupt, "the steering table has a wrong size");
  }
  auto writer = map(fd);
  if (!writer) return writer;
  if (auto checked = check_layout(*writer->layout_); !checked) {
    return tl::unexpected(std::move(checked).error());
  }
  writer->repair();
  return writer;
}

TableWriter::TableWriter(TableWriter&& other) noexcept { *this = std::move(other); }

TableWriter& TableWriter::operator=(TableWriter&& other) noexcept {
  std::swap(layout_, other.layout_);
  std::swap(free_entries_, other.free_entries_);
  stack_cursor_ = other.stack_cursor_;
  port_cursor_ = other.port_cursor_;
  living_stacks_ = other.living_stacks_;
  leased_granules_ = other.leased_granules_;
  return *this;
}

TableWriter::~TableWriter() {
  if (layout_ != nullptr) ::munmap(layout_, sizeof(TableLayout));
}

// The earlier writer may have died between any two stores: chains are laid anew from the entries
// that are whole.
void TableWriter::repair() {
  auto& sequence = layout_->header.sequence;
  const auto was = sequence.load(std::memory_order_relaxed);
  if ((was & 1) == 0) sequence.store(was + 1, std::memory_order_relaxed);
  layout_->header.host_limit.store(kMaxHosts, std::memory_order_relaxed);
  layout_->header.stack_limit.store(kMaxStacks, std::memory_order_relaxed);
  layout_->header.entry_limit.store(kMaxEntries, std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < kMaxStacks; ++i) {
    Stack stack = layout_->stacks[i].load();
    if (stack.alive == 0) continue;
    const bool sane = stack.id.index == i && stack.id.valid() && stack.host < kMaxHosts;
    if (sane) {
      ++living_stacks_;
      continue;
    }
    stack.alive = 0;
    layout_->stacks[i].store(stack);
  }
  rebuild_chains();
  for (std::uint32_t protocol = 0; protocol < kProtocols; ++protocol) {
    for (auto& granule : layout_->ephemeral[protocol]) {
      if (!living(StackId::from_raw(granule.load(std::memory_order_relaxed)))) {
        granule.store(0, std::memory_order_release);
      } else {
        ++leased_granules_[protocol];
      }
    }
  }
  sequence.store((was | 1) + 1, std::memory_order_release);
}

void TableWriter::rebuild_chains() {
  free_entries_.clear();
  free_entries_.reserve(kMaxEntries);
  const auto end = bounded(layout_->header.entry_limit, kMaxEntries);
  std::vector<Entry> kept;
  for (std::uint32_t i = 0; i < end; ++i) {
    const Entry entry = layout_->entries[i].load();
    if ((entry.flags & kEntryUsed) == 0) continue;
    if (living(entry.stack) && static_cast<std::uint32_t>(entry.protocol) < kProtocols &&
        entry.scope <= Scope::kSpecific) {
      kept.push_back(entry);
    }
    layout_->entries[i].store(Entry{});
  }
  for (auto& heads : layout_->heads) {
    for (auto& word : heads) {
      // Reading first leaves the pages of unused ports out of memory.
      if (word.load(std::memory_order_relaxed) != 0) word.store(0, std::memory_order_release);
    }
  }
  for (std::uint32_t i = kMaxEntries; i-- > 0;) free_entries_.push_back(i);
  for (const Entry& entry : kept) (void)append(entry);
}

void TableWriter::set_network(const Network& network) {
  const Change change(layout_);
  layout_->header.network.store(network);
}

Result<HostIndex> TableWriter::add_host(Host host) {
  std::uint32_t place = 0;
  for (std::uint32_t i = kMaxHosts; i-- > 0;) {
    const Host there = layout_->hosts[i].load();
    if (there.used == 0) place = i;
    if (there.used != 0 && text_of(there.name) == text_of(host.name)) {
      return refuse(EEXIST, fmt::format("host '{}' exists already", text_of(host.name)));
    }
  }
  if (place == 0) return refuse(ENOSPC, "the network has 255 hosts already");
  host.index = static_cast<HostIndex>(place);
  host.used = 1;
  const Change change(layout_);
  layout_->hosts[place].store(host);
  auto& limit = layout_->header.host_limit;
  limit.store(std::max(bounded(limit, kMaxHosts), place + 1), std::memory_order_release);
  return host.index;
}

Result<void> TableWriter::remove_host(HostIndex host) {
  if (host == kLocalhost || host >= kMaxHosts) return refuse(EINVAL, "there is no such host");
  for (std::uint32_t i = 0; i < stack_limit(); ++i) {
    const Stack stack = layout_->stacks[i].load();
    if (stack.alive != 0 && stack.host == host) return refuse(EBUSY, "programs run on that host");
  }
  const Change change(layout_);
  layout_->hosts[host].store(Host{});
  return {};
}

std::uint32_t TableWriter::stack_limit() const {
  return bounded(layout_->header.stack_limit, kMaxStacks);
}

Result<StackId> TableWriter::add_stack(Stack stack) {
  const auto gateway = StackId::from_raw(layout_->header.gateway.load(std::memory_order_relaxed));
  if (stack.gateway != 0 && living(gateway)) {
    return refuse(EEXIST, "the network has a gateway already");
  }
  if (living_stacks_ == kMaxStacks) return refuse(ENOSPC, "the network has 4096 stacks already");
  // Numbers go round, so that one rests as long as possible before it names another stack.
  Stack there;
  do {
    stack_cursor_ = (stack_cursor_ + 1) % kMaxStacks;
    there = layout_->stacks[stack_cursor_].load();
  } while (there.alive != 0);
  const auto generation = static_cast<std::uint16_t>(there.id.generation + 1);
  stack.id.index = static_cast<std::uint16_t>(stack_cursor_);
  stack.id.generation = generation == 0 ? std::uint16_t{1} : generation;
  publish(stack);
  return stack.id;
}

Result<void> TableWriter::restore_stack(const Stack& stack) {
  const bool sane = stack.id.valid() && stack.id.index < kMaxStacks;
  if (!sane || layout_->stacks[stack.id.index].load().alive != 0) {
    return refuse(EEXIST, "the stack's number is taken");
  }
  const auto gateway = StackId::from_raw(layout_->header.gateway.load(std::memory_order_relaxed));
  if (stack.gateway != 0 && living(gateway)) {
    return refuse(EEXIST, "the network has a gateway already");
  }
  publish(stack);
  return {};
}

void TableWriter::publish(const Stack& stack) {
  Stack fresh = stack;
  fresh.alive = 1;
  const Change change(layout_);
  layout_->stacks[stack.id.index].store(fresh);
  auto& limit = layout_->header.stack_limit;
  limit.store(std::max(stack_limit(), stack.id.index + 1U), std::memory_order_release);
  if (stack.gateway != 0) {
    layout_->header.gateway.store(stack.id.raw(), std::memory_order_release);
  }
  ++living_stacks_;
}

std::optional<Stack> TableWriter::living(StackId id) const {
  if (!id.valid() || id.index >= kMaxStacks) return std::nullopt;
  const Stack stack = layout_->stacks[id.index].load();
  if (stack.alive == 0 || stack.id != id) return std::nullopt;
  return stack;
}

void TableWriter::set_stack_process(StackId id, std::int32_t pid, std::uint64_t start_time) {
  auto stack = living(id);
  if (!stack) return;
  stack->pid = pid;
  stack->start_time = start_time;
  const Change change(layout_);
  layout_->stacks[id.index].store(*stack);
}

void TableWriter::release_listeners(StackId id) {
  if (!living(id)) return;
  const Change change(layout_);
  const auto end = bounded(layout_->header.entry_limit, kMaxEntries);
  for (std::uint32_t i = 0; i < end; ++i) {
    const Entry entry = layout_->entries[i].load();
    if ((entry.flags & kEntryUsed) == 0 || entry.stack != id) continue;
    unlink(find(id, {entry.protocol, entry.port, entry.scope, entry.address}));
  }
  auto& gateway = layout_->header.gateway;
  if (gateway.load(std::memory_order_relaxed) == id.raw()) gateway.store(0);
}

void TableWriter::remove_stack(StackId id) {
  auto stack = living(id);
  if (!stack) return;
  release_listeners(id);
  const Change change(layout_);
  for (std::uint32_t protocol = 0; protocol < kProtocols; ++protocol) {
    for (auto& granule : layout_->ephemeral[protocol]) {
      if (granule.load(std::memory_order_relaxed) != id.raw()) continue;
      granule.store(0, std::memory_order_release);
      --leased_granules_[protocol];
    }
  }
  stack->alive = 0;
  layout_->stacks[id.index].store(*stack);
  --living_stacks_;
}

void TableWriter::reserve_link_number(std::uint32_t number) {
  auto& next = layout_->header.next_link;
  if (number >= next.load(std::memory_order_relaxed)) {
    next.store(number + 1, std::memory_order_relaxed);
  }
}

std::uint32_t TableWriter::next_link_number() {
  auto& next = layout_->header.next_link;
  const auto number = next.load(std::memory_order_relaxed);
  next.store(number + 1 == 0 ? 1 : number + 1, std::memory_order_relaxed);
  return number == 0 ? next_link_number() : number;
}

}  // namespace ringway::steering
