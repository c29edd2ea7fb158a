#include <net/if.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/sys.h"
#include "base/unique_fd.h"
#include "netmap/allocator.h"
#include "netmap/ports.h"
#include "netmap/process.h"

namespace ringway::netmap {
namespace {

std::uint32_t bounded(std::uint32_t asked, std::uint32_t usual, std::uint32_t most) {
  return asked == 0 ? usual : std::min(asked, most);
}

constexpr std::uint32_t kMostSlots = 4096;

/// Slots of a ring that fit into the allocator's ring objects.
bool rings_fit(const Port& port) {
  const Allocator& memory = registry()->allocators[port.allocator];
  const std::uint32_t slots = std::max(port.tx_slots, port.rx_slots);
  return 256 + 16 * std::uint64_t{slots} <= memory.rings.size;
}

}  // namespace

std::uint32_t new_port(PortKind kind, std::string_view name) {
  Registry& r = *registry();
  for (std::uint32_t i = 0; i < kMaxPorts; ++i) {
    Port& port = r.ports[i];
    if (port.kind.load() != PortKind::kFree) continue;
    const std::uint32_t generation = port.generation;
    std::memset(static_cast<void*>(&port), 0, sizeof port);
    port.generation = generation + 1;
    name.copy(port.name, sizeof port.name - 1);
    port.allocator = port.first_kring = port.peer = port.parent = kNone;
    port.kind.store(kind);
    r.port_limit = std::max(r.port_limit, i + 1);
    return i;
  }
  return kNone;
}

void free_port(std::uint32_t index) {
  Port& port = port_at(index);
  ++port.generation;
  port.allocator = kNone;
  port.kind.store(PortKind::kFree);
}

void set_counts(Port& port, const abi::Register& request, const Bounds& b) {
  port.tx_rings = bounded(request.nr_tx_rings, b.usual_rings, b.most_rings);
  port.rx_rings = bounded(request.nr_rx_rings, b.usual_rings, b.most_rings);
  port.tx_slots = bounded(request.nr_tx_slots, b.usual_tx_slots, kMostSlots);
  port.rx_slots = bounded(request.nr_rx_slots, b.usual_rx_slots, kMostSlots);
  port.extra_wanted = std::min(request.nr_extra_bufs, 524288U);
}

int choose_memory(Port& port, const abi::Register& request, std::uint32_t given) {
  int error = 0;
  if (given == kNone && request.nr_mem_id != 0) given = find_allocator(request.nr_mem_id);
  if (given != kNone) {
    hold_allocator(given);
    port.allocator = given;
  } else {
    const Geometry geometry = geometry_for(
        {port.tx_rings, port.rx_rings, port.tx_slots, port.rx_slots, port.extra_wanted});
    const std::uint32_t made = make_allocator(geometry, &error);
    if (made == 0) return error;
    port.allocator = made;
  }
  return 0;
}

namespace {

struct PipeName {
  std::string_view base;
  std::string_view id;
  bool is_slave;
};

PipeName split(std::string_view name) {
  const std::size_t mark = name.find_first_of("{}");
  return {name.substr(0, mark), name.substr(mark + 1), name[mark] == '}'};
}

/// The port that pipes hang on. One that does not exist becomes a persistent port of their own.
int pipe_base(std::string_view base, const abi::Register& request, std::uint32_t allocator,
              std::uint32_t* out) {
  abi::Register plain{};
  plain.nr_mode = abi::kModeAllNic;
  plain.nr_mem_id = request.nr_mem_id;
  const int found = resolve(base, plain, allocator, out);
  if (found == 0) {
    const Port& port = port_at(*out);
    return port.kind.load() == PortKind::kDevice && port.attached != 0 ? EBUSY : 0;
  }
  if (found != ENXIO) return found;
  abi::ValeNewif usual{};
  usual.nr_mem_id = request.nr_mem_id;
  return make_persistent(base, &usual, true, allocator, out);
}

std::uint32_t new_pipe_end(const PipeName& name, bool is_slave) {
  std::string whole(name.base);
  whole += is_slave ? '}' : '{';
  whole += name.id;
  return new_port(PortKind::kPipe, whole);
}

/// The creator's counts are the master's, whoever it is.
void size_pipe(Port& master, Port& slave, const Port& base, const abi::Register& request) {
  set_counts(master, request, {256, 1, base.tx_slots, base.rx_slots});
  slave.tx_rings = master.rx_rings;
  slave.rx_rings = master.tx_rings;
  slave.tx_slots = master.rx_slots;
  slave.rx_slots = master.tx_slots;
}

}  // namespace

int make_pipe(std::string_view name, const abi::Register& request, std::uint32_t allocator,
              std::uint32_t* out) {
  const PipeName parts = split(name);
  if (parts.base.empty() || parts.id.empty()) return EINVAL;
  if (request.nr_mode != abi::kModeAllNic && request.nr_mode != abi::kModeOneNic) return EINVAL;
  *out = find_port(name);
  if (*out != kNone) return 0;
  std::uint32_t base = kNone;
  if (const int failed = pipe_base(parts.base, request, allocator, &base); failed != 0) {
    return failed;
  }
  const std::uint32_t master = new_pipe_end(parts, false);
  const std::uint32_t slave = master == kNone ? kNone : new_pipe_end(parts, true);
  if (slave == kNone || port_at(base).children >= kMaxPipesPerPort) {
    if (master != kNone) free_port(master);
    if (slave != kNone) free_port(slave);
    end_if_unused(base);
    return slave == kNone ? ENOMEM : EINVAL;
  }
  Port& parent = port_at(base);
  size_pipe(port_at(master), port_at(slave), parent, request);
  for (const std::uint32_t end : {master, slave}) {
    Port& port = port_at(end);
    port.parent = base;
    port.role = end == slave ? 1 : 0;
    port.peer = end == slave ? master : slave;
    port.allocator = parent.allocator;
    hold_allocator(port.allocator);
  }
  ++parent.children;
  *out = parts.is_slave ? slave : master;
  return 0;
}

int make_monitor(std::string_view name, const abi::Register& request, std::uint32_t allocator,
                 std::uint32_t* out) {
  std::uint32_t watched = kNone;
  if (const int failed = resolve_existing(name, &watched); failed != 0) return EINVAL;
  Port& parent = port_at(watched);
  if (parent.up.load() == 0) return EINVAL;
  Selection selection{};
  const int wrong =
      select_rings(parent, request.nr_mode, request.nr_ringid, request.nr_flags, &selection);
  if (wrong != 0) return wrong;
  const std::uint32_t index = new_port(PortKind::kMonitor, name);
  if (index == kNone) return ENOMEM;
  Port& port = port_at(index);
  port.zero_copy = (request.nr_flags & abi::kZcopyMonitor) != 0 ? 1 : 0;
  port.monitor_flags = static_cast<std::uint32_t>(request.nr_flags);
  if (port.zero_copy != 0) port.monitor_flags |= abi::kMonitorTx | abi::kMonitorRx;
  set_counts(port, request, {1, 1, parent.tx_slots, parent.rx_slots});
  port.tx_rings = 1;
  port.rx_rings = std::max(parent.tx_rings, parent.rx_rings);
  port.host_tx = parent.host_tx;
  port.host_rx = std::max(parent.host_tx, parent.host_rx);
  port.parent = watched;
  port.parent_generation = parent.generation;
  const std::uint32_t memory = port.zero_copy != 0 ? parent.allocator : allocator;
  if (const int failed = choose_memory(port, request, memory); failed != 0) {
    free_port(index);
    return failed;
  }
  port.watched_tx = {static_cast<std::uint16_t>(selection.tx_first),
                     static_cast<std::uint16_t>(selection.tx_last)};
  port.watched_rx = {static_cast<std::uint16_t>(selection.rx_first),
                     static_cast<std::uint16_t>(selection.rx_last)};
  *out = index;
  return 0;
}

int make_null(std::string_view name, const abi::Register& request, std::uint32_t allocator,
              std::uint32_t* out) {
  if (allocator == kNone && request.nr_mem_id == 0) return EINVAL;
  const std::uint32_t index = new_port(PortKind::kNull, name);
  if (index == kNone) return ENOMEM;
  Port& port = port_at(index);
  port.tx_rings = request.nr_tx_rings;
  port.rx_rings = request.nr_rx_rings;
  port.tx_slots = request.nr_tx_slots;
  port.rx_slots = request.nr_rx_slots;
  int failed = choose_memory(port, request, allocator);
  const bool real_rings = port.tx_rings != 0 || port.rx_rings != 0;
  if (failed == 0 && real_rings && !rings_fit(port)) {
    drop_allocator(port.allocator);
    failed = ENOMEM;
  }
  if (failed != 0) free_port(index);
  *out = index;
  return failed;
}

namespace {

std::uint32_t mtu_of(const char* name) {
  base::UniqueFd socket(base::sys::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::string_view(name).copy(request.ifr_name, IFNAMSIZ - 1);
  const bool known = socket && base::sys::ioctl(socket.get(), SIOCGIFMTU, &request) == 0;
  return known ? static_cast<std::uint32_t>(request.ifr_mtu) : 0;
}

}  // namespace

int make_device(std::string_view name, const abi::Register& request, std::uint32_t allocator,
                std::uint32_t* out) {
  char interface[IF_NAMESIZE] = {};
  if (name.size() >= sizeof interface) return ENXIO;
  name.copy(interface, sizeof interface - 1);
  if (name.empty() || ::if_nametoindex(interface) == 0) return ENXIO;
  const std::uint32_t index = new_port(PortKind::kDevice, name);
  if (index == kNone) return ENOMEM;
  Port& port = port_at(index);
  set_counts(port, {}, {1, 1, 1024, 1024});
  port.host_tx = bounded(request.nr_host_tx_rings, 1, 64);
  port.host_rx = bounded(request.nr_host_rx_rings, 1, 64);
  port.mtu = mtu_of(interface);
  if (allocator == kNone)
    allocator = find_allocator(request.nr_mem_id == 0 ? 1 : request.nr_mem_id);
  hold_allocator(allocator);
  port.allocator = allocator;
  *out = index;
  return 0;
}

namespace {

/// Ring `ringid` of `count` in one direction; the first where only the other direction has it.
void one_ring(std::uint32_t ringid, std::uint32_t first, std::uint32_t count, std::uint32_t* from,
              std::uint32_t* to) {
  *from = first + (ringid < count ? ringid : 0);
  *to = count == 0 ? *from : *from + 1;
}

}  // namespace

int select_rings(const Port& port, std::uint32_t mode, std::uint32_t ringid, std::uint64_t flags,
                 Selection* out) {
  const bool host = mode == abi::kModeSw || mode == abi::kModeNicSw || mode == abi::kModeOneSw;
  if (host && port.host_tx + port.host_rx == 0) return EINVAL;
  switch (mode) {
    case abi::kModeAllNic:
      *out = {0, port.tx_rings, 0, port.rx_rings};
      break;
    case abi::kModeNull:
    case abi::kModeNicSw:
      *out = {0, port.tx_all(), 0, port.rx_all()};
      break;
    case abi::kModeSw:
      *out = {port.tx_rings, port.tx_all(), port.rx_rings, port.rx_all()};
      break;
    case abi::kModeOneNic:
      if (ringid >= port.tx_rings && ringid >= port.rx_rings) return EINVAL;
      one_ring(ringid, 0, port.tx_rings, &out->tx_first, &out->tx_last);
      one_ring(ringid, 0, port.rx_rings, &out->rx_first, &out->rx_last);
      break;
    case abi::kModeOneSw:
      if (ringid >= port.host_tx && ringid >= port.host_rx) return EINVAL;
      one_ring(ringid, port.tx_rings, port.host_tx, &out->tx_first, &out->tx_last);
      one_ring(ringid, port.rx_rings, port.host_rx, &out->rx_first, &out->rx_last);
      break;
    default:
      return EINVAL;
  }
  if ((flags & abi::kTxRingsOnly) != 0) out->rx_last = out->rx_first;
  if ((flags & abi::kRxRingsOnly) != 0) out->tx_last = out->tx_first;
  return 0;
}

}  // namespace ringway::netmap
