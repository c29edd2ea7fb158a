#include <fcntl.h>
#include <fmt/format.h>
#include <ringway/packet.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/sys.h"
#include "netmap/binding.h"
#include "netmap/hooks.h"
#include "netmap/ports.h"
#include "netmap/process.h"
#include "netmap/sync.h"

namespace ringway::packet {
namespace {

namespace nm = netmap;

static_assert(sizeof(Slot) == sizeof(nm::abi::Slot) &&
              offsetof(Slot, user) == offsetof(nm::abi::Slot, ptr));

int bind_descriptor(std::uint32_t descriptor, std::string_view name, std::uint16_t mem_id) {
  const nm::ControlLock lock;
  nm::release_dead();
  nm::abi::Register request{};
  request.nr_mode = nm::abi::kModeAllNic;
  request.nr_mem_id = mem_id;
  return nm::bind(descriptor, name, &request, {});
}

std::string say(std::string_view name, int error) {
  return fmt::format("cannot open port {}: {}", name, std::strerror(error));
}

int wait_others(pollfd* items, nfds_t count, std::int64_t ns, const sigset_t* mask) {
  timespec time{ns / 1'000'000'000, ns % 1'000'000'000};
  const int woken = base::sys::ppoll(items, count, ns < 0 ? nullptr : &time, mask);
  return woken < 0 ? -errno : woken;
}

}  // namespace

std::unique_ptr<Port> Port::open(std::string_view name, const Port* share, std::string* error) {
  std::unique_ptr<Port> port(new Port);
  port->fd_ = nm::hooks::open_device(O_RDWR | O_CLOEXEC);
  int failed = port->fd_ < 0 ? -port->fd_ : 0;
  if (failed == 0) {
    port->descriptor_ = nm::descriptor_of(port->fd_);
    const auto memory = share != nullptr ? static_cast<std::uint16_t>(share->memory_ + 1) : 0;
    failed = bind_descriptor(port->descriptor_, name, static_cast<std::uint16_t>(memory));
  }
  if (failed != 0) {
    if (error != nullptr) *error = say(name, failed);
    return nullptr;
  }
  const nm::Descriptor& d = nm::descriptor_at(port->descriptor_);
  const nm::Port& named = nm::port_at(d.port);
  port->memory_ = named.allocator;
  port->tx_count_ = std::min(named.tx_rings, kMaxRings);
  port->rx_count_ = std::min(named.rx_rings, kMaxRings);
  const nm::Pool& bufs = nm::registry()->allocators[named.allocator].bufs;
  const auto fill = [&](Ring& ring, bool is_tx, std::uint32_t i) {
    nm::abi::Ring& shared = *nm::ring_of(nm::kring_of(d, is_tx, i));
    ring.slots_ = reinterpret_cast<Slot*>(shared.slots());
    ring.buffers_ = nm::at(nm::span_of(named.allocator) + bufs.offset);
    ring.buffer_count_ = bufs.total;
    ring.buffer_bytes_ = bufs.size;
    ring.size_ = nm::kring_of(d, is_tx, i).slots;
    ring.head_ = std::min(shared.head, ring.size_ - 1);
    ring.tail_ = std::min(shared.tail, ring.size_ - 1);
  };
  for (std::uint32_t i = 0; i < port->tx_count_; ++i) fill(port->tx_[i], true, i);
  for (std::uint32_t i = 0; i < port->rx_count_; ++i) fill(port->rx_[i], false, i);
  return port;
}

Port::~Port() {
  if (fd_ >= 0) nm::hooks::close_fd(fd_);
}

void Port::receive() {
  const nm::Descriptor& d = nm::descriptor_at(descriptor_);
  for (std::uint32_t i = 0; i < rx_count_; ++i) {
    nm::Kring& kring = nm::kring_of(d, false, i);
    nm::abi::Ring& shared = *nm::ring_of(kring);
    shared.head = shared.cur = rx_[i].head_;
    nm::sync_rx(kring, false);
    rx_[i].tail_ = kring.tail;
  }
}

void Port::send() {
  const nm::Descriptor& d = nm::descriptor_at(descriptor_);
  for (std::uint32_t i = 0; i < tx_count_; ++i) {
    nm::Kring& kring = nm::kring_of(d, true, i);
    nm::abi::Ring& shared = *nm::ring_of(kring);
    shared.head = shared.cur = tx_[i].head_;
    nm::sync_tx(kring);
    tx_[i].tail_ = kring.tail;
  }
}

bool Port::wait(std::span<Port* const> ports, int milliseconds) {
  std::vector<pollfd> items;
  for (Port* port : ports) {
    port->receive();
    items.push_back({port->fd_, POLLIN, 0});
  }
  const std::int64_t time = milliseconds < 0 ? -1 : milliseconds * std::int64_t{1'000'000};
  const int woken = nm::wait_mixed(items.data(), items.size(), time, nullptr, &wait_others);
  for (Port* port : ports) port->receive();
  return woken > 0;
}

}  // namespace ringway::packet
