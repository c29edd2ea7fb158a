#include "control/daemon/network.h"

#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>

#include "base/random.h"
#include "base/sys.h"
#include "control/proto/runtime_dir.h"
#include "steering/table.h"

namespace ringway::control::daemon {

using base::ErrorCode;
using base::IpAddress;
using base::Result;
using base::UniqueFd;
using steering::HostIndex;

namespace {

constexpr std::string_view kCommonHost = "ringway";

std::uint32_t hash_of(std::string_view text) {
  std::uint64_t h = 0;
  for (const char c : text) h = base::Random::mix(h ^ static_cast<unsigned char>(c));
  return static_cast<std::uint32_t>(h);
}

std::string table_name(std::string_view network) {
  return std::string(network) + std::string(proto::kTableSuffix);
}

Result<UniqueFd> open_reader(int fd) {
  const auto path = fmt::format("/proc/self/fd/{}", fd);
  UniqueFd reader(base::sys::openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!reader) return base::fail_errno("cannot open the steering table for reading");
  return reader;
}

std::pair<std::uint32_t, std::uint32_t> pair_of(StackId a, StackId b) {
  return std::minmax(a.raw(), b.raw());
}

}  // namespace

std::optional<base::Prefix> choose_subnet(const std::set<std::uint32_t>& taken) {
  for (std::uint32_t second = 111; second < 256; ++second) {
    const std::uint32_t subnet = 10U << 24 | second << 16;
    if (!taken.contains(subnet)) return base::Prefix{IpAddress::v4(subnet), 16};
  }
  return std::nullopt;
}

steering::Network describe(std::string_view name, const base::Prefix& prefix4, bool persistent) {
  steering::Network network;
  steering::set_text(network.name, name);
  const std::uint32_t mask = prefix4.length == 0 ? 0 : ~0U << (32 - prefix4.length);
  network.prefix4 = IpAddress::v4(prefix4.address.to_v4() & mask);
  network.prefix4_length = prefix4.length;
  const auto hash = hash_of(name);
  network.prefix6.bytes = {0xfd,
                           0x52,
                           0x57,
                           0x57,
                           static_cast<std::uint8_t>(hash >> 24),
                           static_cast<std::uint8_t>(hash >> 16),
                           static_cast<std::uint8_t>(hash >> 8),
                           static_cast<std::uint8_t>(hash)};
  network.prefix6_length = 64;
  network.persistent = persistent ? 1 : 0;
  return network;
}

Result<Network> Network::create(int directory, const steering::Network& description) {
  const auto file_name = table_name(steering::text_of(description.name));
  // A new file, never an old one made empty: readers may still have that mapped.
  ::unlinkat(directory, file_name.c_str(), 0);
  const UniqueFd file(base::sys::openat(directory, file_name.c_str(),
                                        O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return base::fail_errno(fmt::format("cannot make {}", file_name));
  std::uint64_t identity = 0;
  if (::getrandom(&identity, sizeof identity, 0) != sizeof identity) {
    return base::fail_errno("cannot draw a random number");
  }
  auto writer = steering::TableWriter::create(file.get(), description, identity);
  if (!writer) return tl::unexpected(std::move(writer).error());
  auto reader = open_reader(file.get());
  if (!reader) return tl::unexpected(std::move(reader).error());
  Network network(std::move(*writer), std::move(*reader));
  if (auto common = network.host_for(kCommonHost); !common) {
    return tl::unexpected(std::move(common).error());
  }
  return network;
}

Result<Network> Network::reopen(int directory, std::string_view name) {
  const auto file_name = table_name(name);
  const UniqueFd file(
      base::sys::openat(directory, file_name.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return base::fail_errno(fmt::format("cannot open {}", file_name));
  auto writer = steering::TableWriter::reopen(file.get());
  if (!writer) return tl::unexpected(std::move(writer).error());
  const auto description = writer->network();
  if (steering::text_of(description.name) != name) {
    return base::fail(ErrorCode::kCorrupt, fmt::format("{} is another network's", file_name));
  }
  auto reader = open_reader(file.get());
  if (!reader) return tl::unexpected(std::move(reader).error());
  return Network(std::move(*writer), std::move(*reader));
}

std::string Network::name() const { return std::string(steering::text_of(table_.network().name)); }

Result<HostIndex> Network::host_for(std::string_view name) {
  if (name.empty()) name = kCommonHost;
  std::uint32_t free = 0;
  for (std::uint32_t i = steering::kMaxHosts; i-- > 1;) {
    const auto host = table_.host(static_cast<HostIndex>(i));
    if (host.used == 0) free = i;
    if (host.used != 0 && steering::text_of(host.name) == name) return static_cast<HostIndex>(i);
  }
  const auto description = table_.network();
  const std::uint32_t room = 1U << (32 - description.prefix4_length);
  // x.1 is left to the kernel's side of an attached network, the last address is the broadcast.
  if (free == 0 || free + 2 >= room) {
    return base::fail(ErrorCode::kExhausted,
                      fmt::format("network '{}' has no address left for host '{}'",
                                  steering::text_of(description.name), name));
  }
  steering::Host host;
  steering::set_text(host.name, name);
  host.ipv4 = IpAddress::v4(description.prefix4.to_v4() + free + 1);
  host.ipv6 = description.prefix6;
  host.ipv6.bytes[14] = static_cast<std::uint8_t>((free + 1) >> 8);
  host.ipv6.bytes[15] = static_cast<std::uint8_t>(free + 1);
  const auto hash = hash_of(steering::text_of(description.name));
  host.mac.bytes = {0x02,
                    0x52,
                    0x57,
                    static_cast<std::uint8_t>(hash >> 8),
                    static_cast<std::uint8_t>(hash),
                    static_cast<std::uint8_t>(free)};
  return table_.add_host(host);
}

void Network::drop_host(HostIndex host) {
  const auto there = table_.host(host);
  if (there.used == 0 || steering::text_of(there.name) == kCommonHost) return;
  // Refused while stacks live on it: then the last of them takes it away.
  (void)table_.remove_host(host);
}

std::optional<std::uint32_t> Network::link_between(StackId a, StackId b) const {
  const auto found = pairs_.find(pair_of(a, b));
  if (found == pairs_.end()) return std::nullopt;
  return found->second;
}

void Network::add_link(std::uint32_t number, LinkState link) {
  pairs_[pair_of(link.ends[0], link.ends[1])] = number;
  for (const auto end : link.ends) {
    if (auto* its = stack(end)) its->links.insert(number);
  }
  links_[number] = std::move(link);
}

void Network::remove_link(std::uint32_t number) {
  const auto found = links_.find(number);
  if (found == links_.end()) return;
  const auto ends = found->second.ends;
  for (const auto end : ends) {
    if (auto* its = stack(end)) its->links.erase(number);
  }
  pairs_.erase(pair_of(ends[0], ends[1]));
  links_.erase(found);
}

StackState* Network::stack(StackId id) {
  const auto found = stacks_.find(id.raw());
  return found == stacks_.end() ? nullptr : &found->second;
}

LinkState* Network::link(std::uint32_t number) {
  const auto found = links_.find(number);
  return found == links_.end() ? nullptr : &found->second;
}

}  // namespace ringway::control::daemon
