#include "runtime/device.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "base/sys.h"
#include "driver/tap/tap_port.h"
#include "driver/xdp/xdp_device.h"
#include "driver/xdp/xdp_port.h"
#include "mem/arena.h"
#include "port/spec.h"
#include "runtime/impl.h"

namespace ringway::runtime {

using base::Result;

namespace {

constexpr std::uint32_t kFrames = 8192;

std::uint8_t number_of(steering::Protocol protocol) {
  return protocol == steering::Protocol::kUdp ? 17 : 6;
}

}  // namespace

Result<FrameMemory> FrameMemory::create(std::uint32_t frames) {
  FrameMemory memory;
  memory.length_ = kOffset + std::size_t{frames} * kFrameBytes;
  auto fd = mem::make_sealed_memfd("ringway-frames", memory.length_);
  if (!fd) return tl::unexpected(fd.error());
  memory.fd_ = high_fd(base::UniqueFd(*fd));
  // Touched at once: a device does not wait for a page.
  void* at = ::mmap(nullptr, memory.length_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                    memory.fd_.get(), 0);
  if (at == MAP_FAILED) return base::fail_errno("frames for a device cannot be mapped");
  memory.at_ = static_cast<std::byte*>(at);
  auto* state = reinterpret_cast<mem::FramePoolState*>(memory.at_);
  state->slot_size = kFrameBytes;
  state->slot_count = frames;
  memory.pool_ = mem::FramePool(state, memory.at_ + kOffset);
  return memory;
}

FrameMemory::~FrameMemory() {
  if (at_ != nullptr) ::munmap(at_, length_);
}

void FrameMemory::swap(FrameMemory& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(at_, other.at_);
  std::swap(length_, other.length_);
  std::swap(pool_, other.pool_);
}

Result<std::unique_ptr<Device>> Device::open(const std::string& spec) {
  auto device = std::make_unique<Device>();
  auto memory = FrameMemory::create(kFrames);
  if (!memory) return tl::unexpected(memory.error());
  device->memory_ = std::move(*memory);
  const auto opened = spec.starts_with("xdp:") ? device->open_shared(spec) : device->open_own(spec);
  if (!opened) return tl::unexpected(opened.error());
  return device;
}

/// The device stays the kernel's too: its daemon binds, steers and hands over.
Result<void> Device::open_shared(const std::string& text) {
  const auto spec = port::Spec::parse(text);
  if (!spec) return tl::unexpected(spec.error());
  const auto options = driver::XdpOptions::parse(*spec);
  if (!options) return tl::unexpected(options.error());
  auto client = netd::Client::connect();
  if (!client) return tl::unexpected(client.error());
  auto lease = client->open(*options, {.memfd = memory_.fd(),
                                       .offset = FrameMemory::kOffset,
                                       .length = std::uint64_t{kFrames} * FrameMemory::kFrameBytes,
                                       .chunk = FrameMemory::kFrameBytes});
  if (!lease) return tl::unexpected(lease.error());
  name_ = options->device;
  owner_pid_ = base::sys::getpid();
  index_ = lease->index;
  said_ = driver::describe(lease->queues, lease->native) + ", " + netd::describe(*lease);
  for (base::UniqueFd& fd : lease->queues.sockets) fd = high_fd(std::move(fd));
  auto port = driver::XdpPort::adopt(std::move(lease->queues), memory_.pool());
  if (!port) return tl::unexpected(port.error());
  port_ = std::move(*port);
  auto view = KernelView::open(index_, first_facts_);
  if (!view) return tl::unexpected(view.error());
  view_ = std::move(*view);
  view_->socket() = high_fd(std::move(view_->socket()));
  client_ = std::move(*client);
  client_->socket() = high_fd(std::move(client_->socket()));
  return {};
}

/// Without libbpf and libpcap: this is loaded into programs of others.
Result<void> Device::open_own(const std::string& text) {
  const auto spec = port::Spec::parse(text);
  if (!spec) return tl::unexpected(spec.error());
  if (spec->driver != "tap") {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      fmt::format("'{}' cannot be a program's port; there is: xdp:INTERFACE, "
                                  "tap:NAME,ip=ADDRESS/LENGTH",
                                  spec->driver));
  }
  const auto options = driver::TapOptions::parse(*spec);
  if (!options) return tl::unexpected(options.error());
  if (options->ip) addresses_.push_back(*options->ip);
  if (options->ip6) addresses_.push_back(*options->ip6);
  if (addresses_.empty()) {
    return base::fail(base::ErrorCode::kInvalidArgument,
                      "a tap needs an address of its own: tap:NAME,ip=10.0.0.2/24");
  }
  auto port = driver::TapPort::open(*options, memory_.pool());
  if (!port) return tl::unexpected(port.error());
  port_ = std::move(*port);
  name_ = port_->name();
  said_ = name_ + ": tap of this program alone";
  return {};
}

Result<void> Device::join(stack::Stack& stack) {
  number_ = stack.add_port(*port_, memory_.pool());
  if (number_ == stack::Stack::kNoLink) {
    return base::fail(base::ErrorCode::kExhausted, "this stack has no room for another port");
  }
  const std::uint8_t interface = stack::Stack::interface_of(number_);
  if (view_) {
    stack.ip().set_neighbours_external(interface);
    apply(stack, first_facts_);
    first_facts_.clear();
    return {};
  }
  for (const base::Prefix& address : addresses_) stack.ip().add_address(interface, address);
  stack.ip().announce(interface, stack.port_tx(number_ - stack::kFirstPort));
  return {};
}

bool Device::has(const base::IpAddress& address) const {
  return std::any_of(addresses_.begin(), addresses_.end(),
                     [&](const base::Prefix& a) { return a.address == address; });
}

std::optional<base::IpAddress> Device::source_for(const stack::Stack& stack,
                                                  const base::IpAddress& remote) const {
  if (number_ == 0 || remote.is_loopback() || has(remote)) return std::nullopt;
  if (view_) {
    const auto way = KernelView::way_to(remote);
    if (!way || way->interface != index_ || !has(way->source)) return std::nullopt;
    return way->source;
  }
  const auto hop = stack.state().ip.routes.lookup(remote);
  const std::uint8_t interface = stack::Stack::interface_of(number_);
  if (!hop || hop->interface != interface) return std::nullopt;
  const auto* source = stack.state().ip.interfaces[interface].source_for(remote, hop->address);
  return source != nullptr ? std::optional(*source) : std::nullopt;
}

netd::Client* Device::client() {
  if (!client_ || owner_pid_ != base::sys::getpid()) return nullptr;
  if (!client_->lost()) return &*client_;
  auto again = netd::Client::connect();
  if (!again || !again->join(name_)) return nullptr;
  client_ = std::move(*again);
  client_->socket() = high_fd(std::move(client_->socket()));
  return &*client_;
}

int Device::lease_each(const Leased& leased, bool take) {
  netd::Client* c = client();
  if (c == nullptr) return -ENETDOWN;
  int failure = 0;
  for (const base::Prefix& address : addresses_) {
    const bool meant =
        leased.at.address.is_any()
            ? leased.at.address == base::IpAddress::any_v6() || address.address.is_v4()
            : leased.at.address == address.address;
    if (!meant || address.address.is_link_local()) continue;
    const base::Endpoint at{address.address, leased.at.port};
    const auto done =
        take ? c->lease(number_of(leased.protocol), at) : c->drop(number_of(leased.protocol), at);
    if (!done) failure = done.error().os_errno != 0 ? -done.error().os_errno : -EADDRNOTAVAIL;
  }
  return failure;
}

int Device::lease(steering::Protocol protocol, const base::Endpoint& at) {
  if (!leases()) return 0;
  const Leased leased{protocol, at};
  const bool known = std::any_of(leased_.begin(), leased_.end(), [&](const Leased& l) {
    return l.protocol == protocol && l.at.port == at.port &&
           (l.at.address == at.address || l.at.address.is_any());
  });
  if (known) return 0;
  const int failure = lease_each(leased, true);
  if (failure != 0) {
    lease_each(leased, false);
    return failure;
  }
  leased_.push_back(leased);
  return 0;
}

void Device::release(steering::Protocol protocol, const base::Endpoint& at) {
  const auto found = std::find_if(leased_.begin(), leased_.end(), [&](const Leased& l) {
    return l.protocol == protocol && l.at == at;
  });
  if (found == leased_.end()) return;
  const Leased leased = *found;
  leased_.erase(found);
  lease_each(leased, false);
}

std::uint16_t Device::choose_port(stack::Stack& stack, steering::Protocol protocol,
                                  const base::IpAddress& source, const base::Endpoint& remote) {
  const auto next_of = [&](Block& block) -> std::uint16_t {
    for (std::uint16_t tries = 0; tries < block.count; ++tries) {
      const auto port = static_cast<std::uint16_t>(block.first + block.next);
      block.next = static_cast<std::uint16_t>((block.next + 1) % block.count);
      const bool taken = protocol == steering::Protocol::kTcp
                             ? stack.tcp().find({source, port}, remote) != 0
                             : stack.udp().find({source, port}, remote) != 0;
      if (!taken) return port;
    }
    return 0;
  };
  for (Block& block : blocks_) {
    if (block.protocol != protocol || block.address != source) continue;
    const std::uint16_t port = next_of(block);
    if (port != 0) return port;
  }
  netd::Client* c = client();
  if (c == nullptr) return 0;
  const auto got = c->block(number_of(protocol), source);
  if (!got) return 0;
  blocks_.push_back({protocol, source, got->first, got->count, 0});
  return next_of(blocks_.back());
}

void Device::resolve(const std::vector<base::IpAddress>& wanted) {
  netd::Client* c = client();
  for (const base::IpAddress& address : wanted) {
    if (c != nullptr) static_cast<void>(c->resolve(address));
  }
}

std::vector<KernelFact> Device::changes() {
  std::vector<KernelFact> facts;
  if (view_) view_->read(facts);
  return facts;
}

void Device::address_changed(const base::Prefix& address, bool gone) {
  std::erase_if(addresses_, [&](const base::Prefix& a) { return a.address == address.address; });
  if (gone) return;
  addresses_.push_back(address);
  new_addresses_ = true;
}

void Device::follow_addresses() {
  if (!std::exchange(new_addresses_, false)) return;
  for (const Leased& leased : leased_) {
    if (leased.at.address.is_any()) lease_each(leased, true);
  }
}

bool Device::apply(stack::Stack& stack, const std::vector<KernelFact>& facts) {
  const std::uint8_t interface = stack::Stack::interface_of(number_);
  ip::Ip& ip = stack.ip();
  for (const KernelFact& fact : facts) {
    switch (fact.kind) {
      case KernelFact::Kind::kAddress:
        if (fact.gone) {
          ip.remove_address(interface, fact.prefix.address);
        } else {
          ip.add_address(interface, fact.prefix);
        }
        address_changed(fact.prefix, fact.gone);
        break;
      case KernelFact::Kind::kRoute:
        if (fact.gone) {
          ip.remove_route(fact.prefix, interface);
        } else {
          ip.add_route({fact.prefix, fact.gateway, fact.metric, interface});
        }
        break;
      case KernelFact::Kind::kNeighbour:
        if (fact.gone) {
          ip.drop_neighbour(interface, fact.prefix.address);
        } else {
          ip.set_neighbour({interface, fact.prefix.address, fact.mac},
                           stack.port_tx(number_ - stack::kFirstPort));
        }
        break;
      case KernelFact::Kind::kLink:
        if (fact.gone) return true;
        stack.set_port_mtu(number_, fact.mtu);
        break;
    }
  }
  return false;
}

bool Device::daemon_event() { return client_ && client_->device_gone(); }

bool Device::owns_fd(int fd) const {
  return fd >= 0 && (fd == memory_.fd() || fd == kernel_fd() || fd == daemon_fd());
}

}  // namespace ringway::runtime
