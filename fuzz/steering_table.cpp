// A table with any words changed: a reader ends, and answers only with what a stack can be.
//
// Input: records of  offset(4)  value(4)  that are written over a table with hosts, stacks and
// listeners.

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/sys.h"
#include "base/unique_fd.h"
#include "fuzz/require.h"
#include "steering/table.h"
#include "steering/table_writer.h"

using ringway::base::IpAddress;
using ringway::base::UniqueFd;
using ringway::fuzz::require;
namespace steering = ringway::steering;

namespace {

UniqueFd make_table() {
  UniqueFd file(ringway::base::sys::memfd_create("fuzz", MFD_CLOEXEC));
  auto writer = steering::TableWriter::create(file.get(), {}, 1).value();
  steering::Host host;
  steering::set_text(host.name, "one");
  host.ipv4 = IpAddress::v4(10, 0, 0, 1);
  steering::Stack stack;
  stack.host = writer.add_host(host).value();
  for (int i = 0; i < 3; ++i) {
    const auto id = writer.add_stack(stack).value();
    const steering::ListenKey key{steering::Protocol::kTcp, 80, steering::Scope::kAny, {}};
    require(writer.lease_listen(id, key, steering::kEntryReusePort).has_value());
    require(writer.lease_ephemeral(id, steering::Protocol::kTcp).has_value());
  }
  return file;
}

void read_all(const steering::Table& table) {
  for (const auto address : {IpAddress::v4(10, 0, 0, 1), IpAddress::loopback_v4(),
                             IpAddress::loopback_v6(), IpAddress::v4(192, 0, 2, 1)}) {
    for (const std::uint16_t port : {std::uint16_t{80}, std::uint16_t{65535}}) {
      const auto found = table.lookup(address, steering::Protocol::kTcp, port, 12345);
      if (found) (void)table.stack(found->index);
    }
    const auto host = table.find_host(address);
    require(!host || *host < steering::kMaxHosts);
  }
  require(table.host_limit() <= steering::kMaxHosts);
  require(table.stack_limit() <= steering::kMaxStacks);
  require(table.entry_limit() <= steering::kMaxEntries);
  for (std::uint32_t i = 0; i < 8; ++i) (void)table.entry(i);
  (void)table.gateway();
  (void)table.find_host("one");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const UniqueFd file = make_table();
  static const steering::Table table = std::move(*steering::Table::attach(file.get()));
  struct Patch {
    std::uint32_t offset;
    std::uint32_t value;
  };
  constexpr std::size_t kMost = 64;
  constexpr std::uint32_t kWords = sizeof(steering::TableLayout) / 4;
  std::array<Patch, kMost> undo{};
  std::size_t count = 0;
  for (std::size_t at = 0; at + sizeof(Patch) <= size && count < kMost; at += sizeof(Patch)) {
    Patch patch;
    std::memcpy(&patch, data + at, sizeof patch);
    patch.offset = patch.offset % kWords * 4;
    undo[count].offset = patch.offset;
    require(::pread(file.get(), &undo[count].value, 4, patch.offset) == 4);
    require(::pwrite(file.get(), &patch.value, 4, patch.offset) == 4);
    ++count;
  }
  read_all(table);
  while (count-- > 0) {
    require(::pwrite(file.get(), &undo[count].value, 4, undo[count].offset) == 4);
  }
  return 0;
}
